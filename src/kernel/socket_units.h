/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * socket_units.h - the ports that systemd's socket units listen on, or will.
 *
 * Read from the unit files and their drop-ins: ListenStream= and ListenDatagram= with
 * a port, or an address and a port. A unit that is masked has none.
 */
#ifndef KERNEL_SOCKET_UNITS_H
#define KERNEL_SOCKET_UNITS_H

#include <stdint.h>

/* unit: its name, "cups.socket". Called once for each assignment. */
typedef void socket_units_fn(const char *unit, uint16_t port, void *arg);

/*
 * Visit the ports of all units below root ("": the host's own /etc/systemd/system and
 * its like). Returns the number of units, -ENOMEM, or another negative errno where a
 * folder cannot be read. A unit that cannot be read counts as without ports.
 */
int socket_units_visit(const char *root, socket_units_fn *visit, void *arg);

#endif /* KERNEL_SOCKET_UNITS_H */
