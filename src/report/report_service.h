/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* report_service.h - the names that /etc/services gives to ports. */
#ifndef REPORT_SERVICE_H
#define REPORT_SERVICE_H

#include <stdint.h>

/*
 * "https" for TCP 443; NULL where the port has no name. The file is read once, at
 * the first call: a look-up each time would read it for every session of an answer.
 */
const char *report_service_name(uint8_t protocol, uint16_t port);

#endif /* REPORT_SERVICE_H */
