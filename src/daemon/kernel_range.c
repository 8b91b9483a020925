/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/kernel_range.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/boot.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "kernel/netns.h"
#include "kernel/port_range.h"

#define MOVED_MAX   (POLICY_RULES_MAX + 1)
#define NAMED_NETNS "/run/netns"
#define OWN_NETNS   "/proc/self/ns/net"

struct moved {
	uint64_t netns; /* cookie */
	struct port_range before;
	struct port_range now;
};

/* What STATE/kernel-range says, of this boot. */
struct record {
	char boot[SESSION_BOOT_MAX];
	size_t count;
	struct moved moved[MOVED_MAX];
};

static void state_path(const char *state, const char *suffix, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/kernel-range%s", state, suffix);
}

/* Sysctls do not outlive the boot: what an earlier one has moved is as it was. */
static int record_read(const char *state, struct record *ret)
{
	struct record record = {0};
	char path[PATH_MAX], line[256], boot[SESSION_BOOT_MAX];
	FILE *file;
	int err = boot_id_read(record.boot);

	if (err < 0)
		return err;
	state_path(state, "", path);
	file = fopen(path, "re");
	while (file && record.count < MOVED_MAX && fgets(line, sizeof(line), file)) {
		struct moved *moved = &record.moved[record.count];

		if (sscanf(line, "%36s %" SCNu64 " %hu-%hu %hu-%hu", boot,
			   &moved->netns, &moved->before.from, &moved->before.to,
			   &moved->now.from, &moved->now.to) == 6 &&
		    strcmp(boot, record.boot) == 0)
			record.count++;
	}
	if (file)
		fclose(file);
	*ret = record;
	return 0;
}

static int write_lines(FILE *file, const struct record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct moved *moved = &record->moved[i];

		fprintf(file, "%s %" PRIu64 " %u-%u %u-%u\n", record->boot,
			moved->netns, moved->before.from, moved->before.to,
			moved->now.from, moved->now.to);
	}
	if (fflush(file) != 0 || fsync(fileno(file)) < 0)
		return -errno;
	return 0;
}

static int sync_folder(const char *state)
{
	CLEANUP_CLOSE int fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int record_write(const char *state, const struct record *record,
			struct fault *fault)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	FILE *file;
	int err;

	state_path(state, "", path);
	state_path(state, ".new", new_path);
	if (!record->count)
		return unlink(path) < 0 && errno != ENOENT
			       ? fault_set(fault, -errno, "%s: %s", path,
					   strerror(errno))
			       : 0;
	file = fopen(new_path, "we");
	if (!file)
		return fault_set(fault, -errno, "%s: %s", new_path, strerror(errno));
	err = write_lines(file, record);
	if (fclose(file) != 0 && err == 0)
		err = -errno;
	if (err == 0 && rename(new_path, path) < 0)
		err = -errno;
	if (err == 0)
		err = sync_folder(state);
	return err < 0 ? fault_set(fault, err, "%s: %s", path, strerror(-err)) : 0;
}

static const struct moved *record_find(const struct record *record, uint64_t netns)
{
	for (size_t i = 0; i < record->count; i++)
		if (record->moved[i].netns == netns)
			return &record->moved[i];
	return NULL;
}

static void record_remove(struct record *record, struct moved *moved)
{
	*moved = record->moved[--record->count];
}

/* A namespace that is looked for by its cookie. */
struct search {
	uint64_t cookie;
	int fd; /* -1: not found yet */
};

static int compare_netns(int netns_fd, uint64_t cookie, void *arg)
{
	struct search *search = arg;

	if (cookie == search->cookie)
		search->fd = fcntl(netns_fd, F_DUPFD_CLOEXEC, 0);
	return search->fd >= 0;
}

static int open_if(const char *path, uint64_t cookie)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t found;

	if (fd < 0 || netns_cookie(fd, &found) < 0 || found != cookie)
		return -1;
	return TAKE_FD(fd);
}

static void search_named(struct search *search)
{
	DIR *dir = opendir(NAMED_NETNS);
	struct dirent *entry;
	char path[PATH_MAX];

	while (dir && search->fd < 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), NAMED_NETNS "/%s", entry->d_name);
		if (entry->d_name[0] != '.')
			search->fd = open_if(path, search->cookie);
	}
	if (dir)
		closedir(dir);
}

/* A descriptor of the namespace, or -1: it is gone. */
static int find_netns(uint64_t cookie)
{
	struct search search = {.cookie = cookie, .fd = open_if(OWN_NETNS, cookie)};

	if (search.fd < 0)
		netns_visit(compare_netns, &search);
	if (search.fd < 0)
		search_named(&search);
	return search.fd;
}

/* The range is as it was before, or as a person wants it. */
static void put_back(int netns_fd, const struct moved *moved)
{
	struct port_range now;
	int err = port_range_read(netns_fd, &now);

	if (err == 0 && !port_range_equal(&now, &moved->now)) {
		if (!port_range_equal(&now, &moved->before))
			log_say("ip_local_port_range was changed to %u-%u meanwhile: "
				"left",
				now.from, now.to);
		return;
	}
	if (err == 0)
		err = port_range_write(netns_fd, &moved->before);
	if (err < 0)
		log_say("ip_local_port_range cannot be put back to %u-%u: %s",
			moved->before.from, moved->before.to, strerror(-err));
	else
		log_say("ip_local_port_range is %u-%u again", moved->before.from,
			moved->before.to);
}

/* A person's range stays: then there is nothing of ours to remember. */
static void take_back(struct record *record, struct moved *moved)
{
	CLEANUP_CLOSE int fd = find_netns(moved->netns);

	if (fd >= 0)
		put_back(fd, moved);
	record_remove(record, moved);
}

bool kernel_range_is_moved(const char *state)
{
	char path[PATH_MAX];

	state_path(state, "", path);
	return access(path, F_OK) == 0;
}

int kernel_range_restore(const char *state, struct fault *fault)
{
	struct record record;
	int err = record_read(state, &record);

	if (err < 0)
		return fault_set(fault, err, "cannot read the kernel's boot id");
	while (record.count)
		take_back(&record, &record.moved[0]);
	return record_write(state, &record, fault);
}

static void avoid_pools(const struct policy *policy, struct port_range_avoid *avoid)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct pool *pool =
			policy_find_pool(policy, policy->rules[i].pool);

		for (unsigned int port = 1024; pool && port <= 65535; port++)
			avoid->pools[port] |= port_set_has(&pool->ports, port);
	}
}

/* Where the range is to go. 0, or a negative errno after saying why it stays. */
static int choose(int netns_fd, const struct port_range *before,
		  const struct port_range_avoid *pools, struct port_range *ret)
{
	CLEANUP_FREE struct port_range_avoid *avoid = malloc(sizeof(*avoid));
	int err;

	if (!avoid)
		return -ENOMEM;
	*avoid = *pools;
	port_range_read_reserved(netns_fd, avoid);
	err = port_range_choose(before, avoid, ret);
	if (err < 0)
		log_say("kernel-range: the pools leave no %d ports in a row: "
			"ip_local_port_range stays %u-%u",
			PORT_RANGE_LEAST, before->from, before->to);
	return err;
}

/* What was moved is where it is to be. */
static bool is_settled(int netns_fd, const struct moved *moved,
		       const struct port_range_avoid *pools)
{
	struct port_range now, wanted;

	return port_range_read(netns_fd, &now) == 0 &&
	       port_range_equal(&now, &moved->now) &&
	       choose(netns_fd, &moved->before, pools, &wanted) == 0 &&
	       port_range_equal(&wanted, &now);
}

/* Remember, then move: a kill between the two leaves a line that changes nothing. */
static int move(const char *state, struct record *record, int netns_fd, uint64_t netns,
		const struct port_range_avoid *pools, struct fault *fault)
{
	struct moved moved = {.netns = netns};
	int err = port_range_read(netns_fd, &moved.before);

	if (err < 0) {
		log_say("kernel-range: ip_local_port_range cannot be read: %s",
			strerror(-err));
		return 0;
	}
	if (choose(netns_fd, &moved.before, pools, &moved.now) < 0 ||
	    port_range_equal(&moved.before, &moved.now) || record->count == MOVED_MAX)
		return 0;
	record->moved[record->count++] = moved;
	err = record_write(state, record, fault);
	if (err < 0)
		return err;
	err = port_range_write(netns_fd, &moved.now);
	if (err < 0)
		log_say("kernel-range: ip_local_port_range cannot be set: %s",
			strerror(-err));
	else
		log_say("ip_local_port_range is %u-%u, out of the pools (it was "
			"%u-%u)",
			moved.now.from, moved.now.to, moved.before.from,
			moved.before.to);
	return 0;
}

/* Where rules use pools: at most one namespace a rule, and our own. */
struct places {
	size_t count;
	int fds[MOVED_MAX];
	uint64_t cookies[MOVED_MAX];
};

static void places_release(struct places *places)
{
	for (size_t i = 0; i < places->count; i++)
		close(places->fds[i]);
}

static void places_add(struct places *places, const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t cookie;

	if (fd < 0 || netns_cookie(fd, &cookie) < 0)
		return;
	for (size_t i = 0; i < places->count; i++)
		if (places->cookies[i] == cookie)
			return;
	places->cookies[places->count] = cookie;
	places->fds[places->count++] = TAKE_FD(fd);
}

static void places_find(struct places *places, const struct policy *policy)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];

		if (!rule->pool[0])
			continue;
		if (!(rule->conditions & RULE_NETNS) ||
		    strcmp(rule->netns, "host") == 0)
			snprintf(path, sizeof(path), OWN_NETNS);
		else
			snprintf(path, sizeof(path), "%s%s",
				 strchr(rule->netns, '/') ? "" : NAMED_NETNS "/",
				 rule->netns);
		places_add(places, path);
	}
}

static int places_index(const struct places *places, uint64_t netns)
{
	for (size_t i = 0; i < places->count; i++)
		if (places->cookies[i] == netns)
			return i;
	return -1;
}

/* Put back what is to be elsewhere, or where it was. */
static void take_back_others(struct record *record, const struct places *places,
			     const struct port_range_avoid *pools)
{
	for (size_t i = record->count; i-- > 0;) {
		struct moved *moved = &record->moved[i];
		int at = places_index(places, moved->netns);

		if (at < 0 || !is_settled(places->fds[at], moved, pools))
			take_back(record, moved);
	}
}

int kernel_range_adjust(const char *state, const struct policy *policy,
			struct fault *fault)
{
	CLEANUP(places_release) struct places places = {0};
	CLEANUP_FREE struct port_range_avoid *pools = calloc(1, sizeof(*pools));
	struct record record;
	int err = record_read(state, &record);

	if (err < 0)
		return fault_set(fault, err, "cannot read the kernel's boot id");
	if (!pools)
		return fault_set(fault, -ENOMEM, "out of memory");
	if (policy->guard.adjusts_kernel_range) {
		avoid_pools(policy, pools);
		places_find(&places, policy);
	}
	take_back_others(&record, &places, pools);
	err = record_write(state, &record, fault);
	for (size_t i = 0; i < places.count && err >= 0; i++)
		if (!record_find(&record, places.cookies[i]))
			err = move(state, &record, places.fds[i], places.cookies[i],
				   pools, fault);
	return err;
}

json_t *kernel_range_json(const char *state)
{
	json_t *array = json_array();
	struct record record;

	if (record_read(state, &record) < 0)
		return array;
	for (size_t i = 0; i < record.count; i++) {
		const struct moved *moved = &record.moved[i];

		json_array_append_new(array,
				      json_pack("{s:I, s:[i,i], s:[i,i]}", "netns",
						(json_int_t)moved->netns, "before",
						moved->before.from, moved->before.to,
						"now", moved->now.from, moved->now.to));
	}
	return array;
}
