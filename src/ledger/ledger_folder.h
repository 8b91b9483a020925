/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* ledger_folder.h - make and lock the folder of a ledger. Private to ledger/. */
#ifndef LEDGER_FOLDER_H
#define LEDGER_FOLDER_H

#include "base/fault.h"

/*
 * As mkdir -p, with mode 0750. 1 when the folder itself was made, 0 when it, or a
 * file of its name, was there.
 */
int ledger_folder_make(const char *folder, struct fault *fault);

/*
 * Keep other writers out as long as *ret_fd is open: -EBUSY where one is. The lock is
 * on the folder itself, so it leaves no file and ends with the process. -EROFS or
 * -EACCES where nobody, root included, may write.
 */
int ledger_folder_lock(const char *folder, int *ret_fd, struct fault *fault);

#endif /* LEDGER_FOLDER_H */
