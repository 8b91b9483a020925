/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "ledger/ledger_db.h"

int ledger_folder_make(const char *folder, struct fault *fault)
{
	CLEANUP_FREE char *parent = strdup(folder);
	char *slash;
	int err;

	if (!parent)
		return ledger_path_fault(folder, -ENOMEM, NULL, fault);
	if (mkdir(folder, 0750) == 0)
		return 1;
	err = -errno;
	slash = strrchr(parent, '/');
	if (err == -EEXIST)
		return 0;
	if (err != -ENOENT || !slash || slash == parent)
		return ledger_path_fault(folder, err, NULL, fault);
	*slash = '\0';
	err = ledger_folder_make(parent, fault);
	if (err < 0)
		return err;
	if (mkdir(folder, 0750) == 0)
		return 1;
	err = -errno;
	return err == -EEXIST ? 0 : ledger_path_fault(folder, err, NULL, fault);
}

int ledger_folder_lock(const char *folder, int *ret_fd, struct fault *fault)
{
	CLEANUP_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = -errno;

	if (fd < 0 && err == -ENOTDIR)
		return fault_set(
			fault, err,
			"%s: is a file, and a ledger is a folder: name another",
			folder);
	if (fd < 0)
		return ledger_path_fault(folder, err, NULL, fault);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err = -errno;
		if (err != -EWOULDBLOCK)
			return ledger_path_fault(folder, err, NULL, fault);
		return fault_set(fault, -EBUSY,
				 "%s: another srcportd writes this ledger: end it, or "
				 "name another folder",
				 folder);
	}
	if (access(folder, W_OK | X_OK) < 0)
		return ledger_path_fault(folder, -errno, NULL, fault);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
