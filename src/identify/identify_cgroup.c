/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "identify/identify_cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hash.h"

#define CGROUP_MAX    16384
#define SCAN_EVERY_NS 1000000000ULL
#define HANDLE_KERNFS \
	0xfe /* FILEID_KERNFS, Linux 5.5: the handle is the number itself */
#define CONTAINER_DIGITS 64

struct cgroup {
	struct hash_node node; /* by number */
	TAILQ_ENTRY(cgroup) order;
	char path[];
};

TAILQ_HEAD(cgroup_list, cgroup);

struct cgroup_table {
	struct hash hash;
	struct cgroup_list list; /* as they were met */
	char *root;
	int root_fd;
	uint64_t scan_ns; /* of the last one; 0: none yet */
};

DEFINE_CLEANUP(struct cgroup_table, cgroup_table_free)

int cgroup_table_new(const char *root, struct cgroup_table **ret)
{
	CLEANUP(cgroup_table_free_ptr) struct cgroup_table *table = NULL;
	int err;

	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	TAILQ_INIT(&table->list);
	/* Without a cgroup2 all paths are unknown; that is no failure. */
	table->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	table->root = realpath(root, NULL);
	err = hash_init(&table->hash);
	if (err)
		return err;
	*ret = TAKE(table);
	return 0;
}

static void cgroup_forget(struct cgroup_table *table, struct cgroup *cgroup)
{
	hash_remove(&table->hash, &cgroup->node);
	TAILQ_REMOVE(&table->list, cgroup, order);
	free(cgroup);
}

void cgroup_table_free(struct cgroup_table *table)
{
	if (!table)
		return;
	while (!TAILQ_EMPTY(&table->list))
		cgroup_forget(table, TAILQ_FIRST(&table->list));
	hash_release(&table->hash);
	free(table->root);
	if (table->root_fd >= 0)
		close(table->root_fd);
	free(table);
}

/* path begins with the root's. */
static void cgroup_keep(struct cgroup_table *table, uint64_t number, const char *path)
{
	const char *below = path + strlen(table->root);
	struct cgroup *cgroup;

	if (hash_find(&table->hash, number))
		return;
	if (!*below)
		below = "/";
	cgroup = malloc(sizeof(*cgroup) + strlen(below) + 1);
	if (!cgroup)
		return;
	strcpy(cgroup->path, below);
	if (table->hash.count >= CGROUP_MAX)
		cgroup_forget(table, TAILQ_FIRST(&table->list));
	hash_add(&table->hash, &cgroup->node, number);
	TAILQ_INSERT_TAIL(&table->list, cgroup, order);
}

/* Open the folder by its number. Takes CAP_DAC_READ_SEARCH. */
static int ask_kernel(struct cgroup_table *table, uint64_t number)
{
	struct {
		struct file_handle head;
		uint64_t number;
	} handle = {
		.head = {.handle_bytes = sizeof(number), .handle_type = HANDLE_KERNFS},
	};
	CLEANUP_CLOSE int fd = -1;
	char link[64], path[PATH_MAX];
	ssize_t length;

	memcpy(handle.head.f_handle, &number, sizeof(number));
	fd = open_by_handle_at(table->root_fd, &handle.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return -errno;
	path[length] = '\0';
	if (strncmp(path, table->root, strlen(table->root)) != 0)
		return -ENOENT;
	cgroup_keep(table, number, path);
	return 0;
}

static void scan(struct cgroup_table *table)
{
	char *const roots[] = {table->root, NULL};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *entry;

	if (!tree)
		return;
	while ((entry = fts_read(tree)))
		if (entry->fts_info == FTS_D)
			cgroup_keep(table, entry->fts_statp->st_ino, entry->fts_path);
	fts_close(tree);
}

const char *cgroup_table_path(struct cgroup_table *table, uint64_t number,
			      uint64_t now_ns)
{
	struct hash_node *node = hash_find(&table->hash, number);

	if (!node && table->root && ask_kernel(table, number) < 0 &&
	    (!table->scan_ns || now_ns >= table->scan_ns + SCAN_EVERY_NS)) {
		table->scan_ns = now_ns;
		scan(table);
	}
	node = hash_find(&table->hash, number);
	return node ? HASH_OWNER(node, struct cgroup, node)->path : NULL;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	size_t size = strlen(end);

	return length > size && !memcmp(text + length - size, end, size);
}

char *cgroup_unit(const char *path)
{
	const char *found = NULL;
	size_t found_length = 0;

	while (*path) {
		size_t length = strcspn(path, "/");

		if (ends_with(path, length, ".service") ||
		    ends_with(path, length, ".scope")) {
			found = path;
			found_length = length;
		}
		path += length;
		path += *path == '/';
	}
	return found ? strndup(found, found_length) : NULL;
}

char *cgroup_container(const char *path)
{
	size_t digits = 0;

	for (;; path++) {
		if (isxdigit((unsigned char)*path)) {
			digits++;
			continue;
		}
		if (digits == CONTAINER_DIGITS)
			return strndup(path - digits, digits);
		digits = 0;
		if (!*path)
			return NULL;
	}
}
