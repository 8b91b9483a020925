/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* boot.h - the kernel's name for this boot, a random UUID (random(4)). */
#ifndef BASE_BOOT_H
#define BASE_BOOT_H

#define BOOT_ID_MAX 37 /* with the terminator */

int boot_id_read(char ret[BOOT_ID_MAX]); /* 0 or negative errno */

#endif /* BASE_BOOT_H */
