/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int stdio_hold(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* The lowest number that is free is this one. The wrong way round. */
		int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags | O_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

int stdio_flush(void)
{
	if (fflush(stdout) == EOF)
		return -errno;
	/* The reason was told to whoever printed. */
	return ferror(stdout) ? -EIO : 0;
}
