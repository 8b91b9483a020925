/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* spawn.h - start a transient daemon, out of the way of the command and its terminal.
 */
#ifndef CLI_SPAWN_H
#define CLI_SPAWN_H

#include "base/fault.h"
#include "cli/cmd.h"

/*
 * Returns when it is ready: 0, or a negative errno with what it said. It is no child
 * of the caller, and holds none of its descriptors.
 */
int spawn_daemon(const struct common *common, struct fault *fault);

#endif /* CLI_SPAWN_H */
