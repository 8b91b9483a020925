/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "kernel/socket_units.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "model/address.h"

#define SUFFIX	   ".socket"
#define PORTS_MAX  64 /* of one unit */
#define LINE_BYTES 4096

/* In the order in which they override each other, as systemd.unit(5) has it. */
static const char *const folders[] = {
	"/etc/systemd/system",		 "/run/systemd/system",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system",
};

#define FOLDER_COUNT (sizeof(folders) / sizeof(folders[0]))

/* Names of files, each with the first folder that has it. */
struct found {
	char *name;
	char path[PATH_MAX];
};

struct list {
	struct found *found;
	size_t count;
};

struct unit {
	uint16_t ports[PORTS_MAX];
	size_t count;
	bool is_socket_section;
};

static void list_release(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->found[i].name);
	free(list->found);
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), least = strlen(suffix);

	return length > least && strcmp(name + length - least, suffix) == 0;
}

static bool list_has(const struct list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->found[i].name, name) == 0)
			return true;
	return false;
}

static int list_add(struct list *list, const char *name, const char *folder)
{
	struct found *grown =
		reallocarray(list->found, list->count + 1, sizeof(*grown));
	struct found *one;

	if (!grown)
		return -ENOMEM;
	list->found = grown;
	one = &list->found[list->count];
	one->name = strdup(name);
	if (!one->name)
		return -ENOMEM;
	snprintf(one->path, sizeof(one->path), "%s/%s", folder, name);
	list->count++;
	return 0;
}

static void dir_close(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Add the files of the folder with that suffix, but those whose name is there already.
 */
static int list_folder(struct list *list, const char *folder, const char *suffix)
{
	CLEANUP(dir_close) DIR *dir = opendir(folder);
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	while (!err && (entry = readdir(dir)))
		if (has_suffix(entry->d_name, suffix) && !list_has(list, entry->d_name))
			err = list_add(list, entry->d_name, folder);
	return err;
}

/* "8080", or with an address before it "0.0.0.0:8080", "[::]:8080". 0: no port. */
static uint16_t parse_port(const char *value)
{
	const char *text = strrchr(value, ':');
	char host[ADDRESS_TEXT_MAX + 2], *end;
	struct address address;
	unsigned long port;

	if (text) {
		if ((size_t)(text - value) >= sizeof(host))
			return 0;
		snprintf(host, sizeof(host), "%.*s", (int)(text - value), value);
		if (address_parse(host, &address) < 0)
			return 0;
	}
	text = text ? text + 1 : value;
	if (!isdigit((unsigned char)*text))
		return 0;
	port = strtoul(text, &end, 10);
	/* An interface may follow: "[fe80::1]:80%eth0". */
	return (*end == '\0' || *end == '%') && port <= 65535 ? port : 0;
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static void assign(struct unit *unit, const char *key, const char *value)
{
	bool is_port =
		strcmp(key, "ListenStream") == 0 || strcmp(key, "ListenDatagram") == 0;
	uint16_t port;

	if (strncmp(key, "Listen", 6) != 0)
		return;
	/* An empty one of any kind takes back all sockets so far. */
	if (!*value &&
	    (is_port || strcmp(key, "ListenSequentialPacket") == 0 ||
	     strcmp(key, "ListenFIFO") == 0 || strcmp(key, "ListenNetlink") == 0 ||
	     strcmp(key, "ListenSpecial") == 0 ||
	     strcmp(key, "ListenMessageQueue") == 0 ||
	     strcmp(key, "ListenUSBFunction") == 0)) {
		unit->count = 0;
		return;
	}
	port = is_port ? parse_port(value) : 0;
	if (port && unit->count < PORTS_MAX)
		unit->ports[unit->count++] = port;
}

static void read_line(struct unit *unit, char *text)
{
	char *line = trim(text);
	char *value = strchr(line, '=');

	if (*line == '[') {
		unit->is_socket_section = strcmp(line, "[Socket]") == 0;
	} else if (*line != '#' && *line != ';' && value && unit->is_socket_section) {
		*value = '\0';
		assign(unit, trim(line), trim(value + 1));
	}
}

/* A line that ends with a backslash goes on in the next, comments apart. */
static void read_file(struct unit *unit, const char *path)
{
	char line[LINE_BYTES], whole[LINE_BYTES] = "";
	FILE *file = fopen(path, "re");
	size_t used = 0;

	if (!file)
		return;
	unit->is_socket_section = false;
	while (fgets(line, sizeof(line), file)) {
		size_t length = strcspn(line, "\n");
		bool goes_on = length && line[length - 1] == '\\';
		bool is_comment = used && (*trim(line) == '#' || *trim(line) == ';');

		if (is_comment)
			continue;
		line[goes_on ? length - 1 : length] = '\0';
		used += snprintf(whole + used, sizeof(whole) - used, "%s%s", line,
				 goes_on ? " " : "");
		if (used >= sizeof(whole))
			used = sizeof(whole) - 1;
		if (goes_on)
			continue;
		read_line(unit, whole);
		used = 0;
		whole[0] = '\0';
	}
	if (used)
		read_line(unit, whole);
	fclose(file);
}

/* Linked to /dev/null, or empty: systemd takes either for "there is none". */
static bool is_masked(const char *path)
{
	struct stat is;

	return stat(path, &is) < 0 || S_ISCHR(is.st_mode) ||
	       (S_ISREG(is.st_mode) && is.st_size == 0);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static int list_drop_ins(struct list *list, const char *root, const char *name)
{
	char folder[PATH_MAX];
	int err = 0;

	for (size_t i = 0; i < FOLDER_COUNT && !err; i++) {
		snprintf(folder, sizeof(folder), "%s%s/%s.d", root, folders[i], name);
		err = list_folder(list, folder, ".conf");
	}
	return err;
}

/* Those of the template "a@.socket" hold for its instance "a@b.socket" too. */
static int read_drop_ins(struct unit *unit, const char *root, const char *name)
{
	CLEANUP(list_release) struct list list = {0};
	const char *at = strchr(name, '@');
	char template[NAME_MAX + sizeof(SUFFIX)];
	int err = list_drop_ins(&list, root, name);

	if (!err && at && strcmp(at + 1, SUFFIX) != 0) {
		snprintf(template, sizeof(template), "%.*s" SUFFIX,
			 (int)(at - name) + 1, name);
		err = list_drop_ins(&list, root, template);
	}
	if (err)
		return err;
	if (list.count)
		qsort(list.found, list.count, sizeof(*list.found), compare_names);
	for (size_t i = 0; i < list.count; i++)
		if (!is_masked(list.found[i].path))
			read_file(unit, list.found[i].path);
	return 0;
}

static int visit_unit(const char *root, const struct found *found,
		      socket_units_fn *visit, void *arg)
{
	struct unit unit = {0};
	int err;

	if (is_masked(found->path))
		return 0;
	read_file(&unit, found->path);
	err = read_drop_ins(&unit, root, found->name);
	if (err)
		return err;
	for (size_t i = 0; i < unit.count; i++)
		visit(found->name, unit.ports[i], arg);
	return 1;
}

int socket_units_visit(const char *root, socket_units_fn *visit, void *arg)
{
	CLEANUP(list_release) struct list list = {0};
	char folder[PATH_MAX];
	int result, visited = 0;

	for (size_t i = 0; i < FOLDER_COUNT; i++) {
		snprintf(folder, sizeof(folder), "%s%s", root, folders[i]);
		result = list_folder(&list, folder, SUFFIX);
		if (result < 0)
			return result;
	}
	for (size_t i = 0; i < list.count; i++) {
		result = visit_unit(root, &list.found[i], visit, arg);
		if (result < 0)
			return result;
		visited += result;
	}
	return visited;
}
