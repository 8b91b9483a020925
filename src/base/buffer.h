/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * buffer.h - bytes on their way in or out: added at the end, taken from the front.
 *
 * A zeroed struct buffer is empty and owns nothing.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>
#include <sys/types.h>

struct buffer {
	char *bytes;
	size_t from; /* what lies before it has been taken */
	size_t end;
	size_t capacity;
};

void buffer_release(struct buffer *buffer);

/* 0 or -ENOMEM, and then nothing was added. */
int buffer_add(struct buffer *buffer, const void *bytes, size_t length);

static inline size_t buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->from;
}

/*
 * Take the first line: terminated in place of its newline, valid until the next
 * call. NULL: no whole line is there.
 */
char *buffer_take_line(struct buffer *buffer);

/*
 * Read once from a descriptor, at most a few KiB. The number of bytes, 0 at the end
 * of the stream, or a negative errno.
 */
ssize_t buffer_read(struct buffer *buffer, int fd);

/* Send once, without blocking where the socket is so set; a closed peer is -EPIPE. */
ssize_t buffer_send(struct buffer *buffer, int socket_fd);

#endif /* BASE_BUFFER_H */
