/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which rule a process fits, judged in connect() and bind() of processes that were made
 * to fit one or not; and changes of rules.
 */
#include "match_bed.h"

#include "alloc/alloc.skel.h"
#include "tests/bpf/match.skel.h"

/* ---- users, protocols, destinations ---- */

static void without_rules_nothing_fits(void **state)
{
	(void)state;
	assert_int_equal(met_once(""), NONE);
}

static void a_rule_on_a_user_fits_the_effective_one(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_uid(4242), rule_uid(4243));
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "u 4242 0");
	assert_int_equal(met_anywhere(&actor), 1);
	tell(&actor, "u 0 4242");
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "u 4243 4242");
	assert_int_equal(met_anywhere(&actor), 2);
	actor_end(&actor);
}

static void a_rule_on_a_protocol_leaves_the_other_alone(void **state)
{
	struct rule tcp = {.conditions = RULE_PROTOCOL, .protocol = IPPROTO_TCP};
	struct rule udp = {.conditions = RULE_PROTOCOL, .protocol = IPPROTO_UDP};
	struct actor actor = start("");

	(void)state;
	SET(tcp);
	assert_int_equal(met(&actor, ANYWHERE), NONE);
	assert_int_equal(met(&actor, "t 192.0.2.1 80"), 1);
	SET(tcp, udp);
	assert_int_equal(met(&actor, ANYWHERE), 2);
	assert_int_equal(met(&actor, "t 192.0.2.1 80"), 1);
	actor_end(&actor);
}

static void the_first_rule_that_fits_decides(void **state)
{
	struct rule all = {.conditions = 0};
	struct actor actor = start("");

	(void)state;
	SET(rule_uid(1), all, rule_uid(0));
	assert_int_equal(met(&actor, ANYWHERE), 2);
	SET(rule_uid(0), all);
	assert_int_equal(met(&actor, ANYWHERE), 1);
	actor_end(&actor);
}

static void a_longer_prefix_does_not_hide_a_shorter_one(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_to("10.1.2.0/24", 443, 443), rule_to("10.1.0.0/16", 80, 90),
	    rule_to("10.0.0.0/8", 0, 65535), rule_to("10.1.2.0/24", 0, 65535));
	assert_int_equal(met(&actor, "c 10.1.2.3 443"), 1);
	assert_int_equal(met(&actor, "c 10.1.2.3 79"), 3);
	assert_int_equal(met(&actor, "c 10.1.2.3 80"), 2);
	assert_int_equal(met(&actor, "c 10.1.2.3 90"), 2);
	assert_int_equal(met(&actor, "c 10.1.2.3 91"), 3);
	assert_int_equal(met(&actor, "c 10.1.3.3 443"), 3);
	assert_int_equal(met(&actor, "c 10.9.9.9 85"), 3);
	assert_int_equal(met(&actor, "c 11.1.2.3 443"), NONE);
	assert_int_equal(met(&actor, "b 5000"), NONE);
	actor_end(&actor);
}

static void ipv4_is_the_same_from_a_socket_of_ipv6(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_to("10.1.0.0/16", 0, 65535), rule_to("2001:db8::/32", 0, 65535),
	    rule_to("2001:db8::7", 0, 65535), rule_to("0.0.0.0/0", 0, 65535),
	    rule_to("::/0", 53, 53));
	assert_int_equal(met(&actor, "c ::ffff:10.1.2.3 1"), 1);
	assert_int_equal(met(&actor, "c ::ffff:10.2.2.3 1"), 4);
	assert_int_equal(met(&actor, "c 2001:db8:1::1 1"), 2);
	assert_int_equal(met(&actor, "c 2001:db8::7 1"), 2);
	assert_int_equal(met(&actor, "c 2001:db9::7 1"), NONE);
	assert_int_equal(met(&actor, "c 2001:db9::7 53"), 5);
	SET(rule_to("2001:db8::7", 0, 65535), rule_to("2001:db8::/32", 0, 65535));
	assert_int_equal(met(&actor, "c 2001:db8::7 1"), 1);
	assert_int_equal(met(&actor, "c 2001:db8::8 1"), 2);
	assert_int_equal(met(&actor, "c 10.1.2.3 1"), NONE);
	actor_end(&actor);
}

static void bits_after_the_prefix_do_not_count(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_to("10.1.2.3/8", 0, 65535));
	assert_int_equal(met(&actor, "c 10.200.0.1 1"), 1);
	SET(rule_to("10.0.0.0/8", 1, 1), rule_to("10.7.7.7/8", 2, 2));
	assert_int_equal(met(&actor, "c 10.200.0.1 1"), 1);
	assert_int_equal(met(&actor, "c 10.200.0.1 2"), 2);
	SET(rule_to("10.0.0.0/8", 0, 65535));
	assert_int_equal(met(&actor, "c 10.200.0.1 2"), 1);
	actor_end(&actor);
}

/* ---- network namespaces ---- */

/* A namespace of its own behind this file. */
static void netns_make(const char *path)
{
	int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0644);
	int status = -1;
	pid_t child;

	assert_true(fd >= 0);
	close(fd);
	child = fork();
	if (!child)
		_exit(unshare(CLONE_NEWNET) || syscall(SYS_mount, "/proc/self/ns/net",
						       path, NULL, MS_BIND, NULL));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_rule_on_a_namespace_fits_what_its_name_leads_to(void **state)
{
	const char *path = in_folder("netns");
	struct actor first = start(""), second = start("");

	(void)state;
	SET(rule_netns(path), rule_netns("host"));
	assert_int_equal(met_anywhere(&first), 2);
	netns_make(path);
	tell(&first, "n %s", path);
	assert_int_equal(met_anywhere(&first), NONE); /* until the next tick */
	alloc_rules_tick(bed.alloc);
	assert_int_equal(met_anywhere(&first), 1);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	netns_make(path); /* another, of the same name */
	tell(&second, "n %s", path);
	alloc_rules_tick(bed.alloc);
	assert_int_equal(met_anywhere(&first), NONE);
	assert_int_equal(met_anywhere(&second), 1);
	actor_end(&first);
	actor_end(&second);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void a_name_without_a_slash_is_one_of_run_netns(void **state)
{
	struct actor actor;

	(void)state;
	if (!bed.has_own_mounts)
		skip();
	actor = start("");
	assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, NULL), 0);
	assert_int_equal(mkdir("/run/netns", 0755), 0);
	netns_make("/run/netns/blue");
	SET(rule_netns("blue"));
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "n /run/netns/blue");
	assert_int_equal(met_anywhere(&actor), 1);
	actor_end(&actor);
	assert_int_equal(umount2("/run", MNT_DETACH), 0);
}

/* ---- all rules together ---- */

static void sixty_four_rules_are_told_apart(void **state)
{
	struct rule rules[POLICY_RULES_MAX] = {0};
	struct actor actor = start("");
	char text[64];

	(void)state;
	for (int i = 0; i < POLICY_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "10.0.0.0/%d", 8 + i % 16);
		rules[i] = rule_to(text, 1000 + i, 1000 + i);
	}
	set(rules, POLICY_RULES_MAX);
	for (int i = 0; i < POLICY_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "c 10.0.0.1 %d", 1000 + i);
		assert_int_equal(met(&actor, text), i + 1);
	}
	assert_int_equal(met(&actor, "c 10.0.0.1 999"), NONE);
	assert_int_equal(met(&actor, "c 10.0.0.1 1064"), NONE);
	for (int i = 0; i < POLICY_RULES_MAX; i++)
		rules[i] = rule_uid(9000 + i);
	set(rules, POLICY_RULES_MAX);
	tell(&actor, "u 9063 0");
	assert_int_equal(met(&actor, ANYWHERE), 64);
	actor_end(&actor);
}

static void bind_may_use_the_pools_of_rules_that_ask_for_no_destination(void **state)
{
	struct rule rules[] = {rule_to("10.0.0.0/8", 80, 80), rule_uid(0), rule_uid(1)};
	struct pool pool;
	uint32_t pools[3];
	struct actor actor = start("");

	(void)state;
	for (int i = 0; i < 3; i++) {
		pool_init(&pool, "some");
		memset(&pool.ports, 0, sizeof(pool.ports));
		port_set_add(&pool.ports, 20000 + 100 * i, 20009 + 100 * i);
		assert_int_equal(alloc_add_pool(bed.alloc, &pool, &pools[i], NULL), 0);
	}
	set_to_pools(rules, pools, 3);
	assert_int_equal(seen_by(tell(&actor, "b 20005")).may_use, 0);
	assert_int_equal(seen_by(tell(&actor, "b 20105")).may_use, 1);
	assert_int_equal(seen_by(tell(&actor, "b 20205")).may_use, 0);
	assert_int_equal(seen_by(tell(&actor, "b 20010")).may_use, 0);
	assert_int_equal(seen_by(tell(&actor, "b 20105")).pool, pools[1]);
	assert_int_equal(seen_by(tell(&actor, "c 10.1.1.1 80")).pool, pools[0]);
	no_rules(NULL);
	assert_int_equal(seen_by(tell(&actor, "b 20105")).may_use, 0);
	for (int i = 0; i < 3; i++)
		alloc_remove_pool(bed.alloc, pools[i]);
	actor_end(&actor);
}

static void a_set_that_cannot_be_had_leaves_the_one_before(void **state)
{
	const struct rule rules[] = {rule_unit("x.service"), rule_uid(0),
				     rule_exe(in_folder("wanted"))};
	const uint32_t pools[65] = {0};
	struct rule *many = calloc(65, sizeof(*many));
	struct fault fault = {0};

	(void)state;
	SET(rule_uid(1), rule_unit("y.service"));
	cgroup_make("/y.service");
	assert_int_equal(
		alloc_set_rules(bed.alloc, rules, pools, 3, "/nowhere", &fault),
		-ENOENT);
	assert_non_null(strstr(fault.text, "/nowhere"));
	assert_int_equal(met_once(""), NONE);
	assert_int_equal(met_once("/y.service"), 2);
	assert_int_equal(alloc_set_rules(bed.alloc, many, pools, 65, bed.root, &fault),
			 -E2BIG);
	assert_int_equal(met_once("/y.service"), 2);
	cgroup_make("/y.service/z");
	assert_int_equal(met_once("/y.service/z"), 2);
	cgroup_remove("/y.service/z");
	cgroup_remove("/y.service");
	free(many);
}

/* Connects, as fast as it can, until it is killed. */
static pid_t start_looper(void)
{
	pid_t looper = fork();

	if (!looper) {
		actor_write(cgroup_path("/loop", "/cgroup.procs"), "0");
		for (;;)
			actor_connect("10.1.1.1", 80, SOCK_DGRAM);
	}
	return looper;
}

static void connects_during_a_change_see_one_set_or_the_other(void **state)
{
	const struct rule one[] = {rule_uid(1), rule_cgroup("/loop"), rule_uid(0)};
	const uint32_t pools_of_one[] = {1, 2, 3};
	const struct rule two[] = {rule_to("10.1.0.0/16", 81, 90),
				   rule_to("10.0.0.0/8", 80, 80), rule_uid(2),
				   rule_cgroup("")};
	const uint32_t pools_of_two[] = {4, 5, 6, 7};
	int fd = bpf_object__find_map_fd_by_name(bed.hooks, "pairs");
	static struct match_pairs pairs;
	const uint32_t zero = 0;
	uint64_t sum = 0;
	pid_t loopers[2];

	(void)state;
	cgroup_make("/loop");
	set_to_pools(one, pools_of_one, 3);
	loopers[0] = start_looper();
	loopers[1] = start_looper();
	usleep(50000);
	assert_int_equal(bpf_map_update_elem(fd, &zero, &pairs, BPF_ANY), 0);
	for (int i = 0; i < 25; i++) {
		set_to_pools(two, pools_of_two, 4);
		set_to_pools(one, pools_of_one, 3);
	}
	for (int i = 0; i < 2; i++) {
		kill(loopers[i], SIGKILL);
		waitpid(loopers[i], NULL, 0);
	}
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &pairs), 0);
	for (int i = 0; i < SEEN_RULES * SEEN_POOLS; i++)
		sum += pairs.count[i];
	assert_true(pairs.count[2 * SEEN_POOLS + 2] > 0);
	assert_true(pairs.count[2 * SEEN_POOLS + 5] > 0);
	assert_int_equal(
		pairs.count[2 * SEEN_POOLS + 2] + pairs.count[2 * SEEN_POOLS + 5], sum);
	cgroup_remove("/loop");
}

static void nothing_is_tracked_when_no_rule_asks(void **state)
{
	uint32_t id = 0, tracking = 0;

	(void)state;
	SET(rule_unit("x.service"), rule_exe("/proc/self/exe"), rule_netns("host"),
	    rule_to("10.0.0.0/8", 0, 65535), rule_uid(5));
	no_rules(NULL);
	const struct bpf_map *maps[] = {
		bed.alloc->bpf->maps.match_uids,     bed.alloc->bpf->maps.match_netns,
		bed.alloc->bpf->maps.match_cgroups,  bed.alloc->bpf->maps.match_names,
		bed.alloc->bpf->maps.match_prefixes, bed.alloc->bpf->maps.match_files,
		bed.alloc->bpf->maps.match_processes};
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		char next[MATCH_NAME];

		assert_int_not_equal(
			bpf_map_get_next_key(bpf_map__fd(maps[i]), NULL, next), 0);
	}
	while (!bpf_link_get_next_id(id, &id)) {
		CLEANUP_CLOSE int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info link = {0};
		struct bpf_prog_info program = {0};
		uint32_t size = sizeof(link);
		const int mkdir_fd =
			bpf_program__fd(bed.alloc->bpf->progs.match_cgroup_mkdir);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &link, &size))
			continue;
		size = sizeof(program);
		assert_int_equal(bpf_obj_get_info_by_fd(mkdir_fd, &program, &size), 0);
		tracking += link.prog_id == program.id;
	}
	assert_int_equal(tracking, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(without_rules_nothing_fits),
		TEST(a_rule_on_a_user_fits_the_effective_one),
		TEST(a_rule_on_a_protocol_leaves_the_other_alone),
		TEST(the_first_rule_that_fits_decides),
		TEST(a_longer_prefix_does_not_hide_a_shorter_one),
		TEST(ipv4_is_the_same_from_a_socket_of_ipv6),
		TEST(bits_after_the_prefix_do_not_count),
		TEST(a_rule_on_a_namespace_fits_what_its_name_leads_to),
		TEST(a_name_without_a_slash_is_one_of_run_netns),
		TEST(sixty_four_rules_are_told_apart),
		TEST(bind_may_use_the_pools_of_rules_that_ask_for_no_destination),
		TEST(a_set_that_cannot_be_had_leaves_the_one_before),
		TEST(connects_during_a_change_see_one_set_or_the_other),
		TEST(nothing_is_tracked_when_no_rule_asks),
	};

	const void *elf;
	size_t size;
	int failed;

	if (bed_begin(argc, argv)) {
		bed_remove();
		return SKIP_STATUS;
	}
	elf = match_bpf__elf_bytes(&size);
	failed = bed_load(bed.alloc->bpf->obj, elf, size) ||
		 cmocka_run_group_tests(tests, NULL, NULL);
	bed_remove();
	return failed;
}
