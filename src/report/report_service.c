/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "report/report_service.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/session.h"

#define SERVICES_MAX 4096 /* Debian's file has some 350 */

struct service {
	uint8_t protocol;
	uint16_t port;
	char *name;
};

/* Filled once and then only read: a copy of a file, not state. */
static struct service *services;
static size_t service_count;
static pthread_once_t services_once = PTHREAD_ONCE_INIT;

static const struct service *find_service(uint8_t protocol, uint16_t port)
{
	for (size_t i = 0; i < service_count; i++)
		if (services[i].port == port && services[i].protocol == protocol)
			return &services[i];
	return NULL;
}

/* The first of several names of a port is its name. */
static void add_service(const struct servent *entry)
{
	struct service service = {
		.protocol = protocol_parse(entry->s_proto),
		.port = ntohs((uint16_t)entry->s_port),
	};

	if (!service.protocol || find_service(service.protocol, service.port))
		return;
	service.name = strdup(entry->s_name);
	if (service.name)
		services[service_count++] = service;
}

static void read_services(void)
{
	const struct servent *entry;

	services = calloc(SERVICES_MAX, sizeof(*services));
	if (!services)
		return;
	setservent(1);
	while (service_count < SERVICES_MAX && (entry = getservent()))
		add_service(entry);
	endservent();
}

const char *report_service_name(uint8_t protocol, uint16_t port)
{
	const struct service *service;

	pthread_once(&services_once, read_services);
	service = find_service(protocol, port);
	return service ? service->name : NULL;
}
