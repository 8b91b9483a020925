/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cleanup.h - release local variables when they go out of scope. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn)   __attribute__((cleanup(fn)))
#define CLEANUP_FREE  CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)

/* Define fn_ptr(), the form CLEANUP() needs, for a destructor fn(type *). */
#define DEFINE_CLEANUP(type, fn)              \
	static inline void fn##_ptr(type **p) \
	{                                     \
		fn(*p);                       \
	}

/* Hand a pointer over: its value, leaving NULL behind. */
#define TAKE(p)                          \
	({                               \
		__typeof__(p) taken = p; \
		p = NULL;                \
		taken;                   \
	})

/* Hand a descriptor over: its value, leaving -1 behind. */
#define TAKE_FD(fd)             \
	({                      \
		int taken = fd; \
		fd = -1;        \
		taken;          \
	})

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif /* BASE_CLEANUP_H */
