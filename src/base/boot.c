/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

int boot_id_read(char ret[BOOT_ID_MAX])
{
	CLEANUP_CLOSE int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, ret, BOOT_ID_MAX - 1);
	if (length < 0)
		return -errno;
	ret[length] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}
