/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <unistd.h>

#include "base/cleanup.h"
#include "test_policy.h"

#define S 1000000000ULL

static const char *ports_of(const struct policy *policy, const char *name, char *buf)
{
	const struct pool *pool = policy_find_pool(policy, name);

	assert_non_null(pool);
	return port_set_format(&pool->ports, buf, 128);
}

static void an_empty_policy_has_the_documented_defaults(void **state)
{
	const struct policy *policy = parse(*state, "");
	const struct pool *pool = policy_find_pool(policy, "default");
	char buf[128];

	assert_int_equal(policy->pool_count, 1);
	assert_string_equal(ports_of(policy, "default", buf), "49152-65535");
	assert_int_equal(pool->quarantine_ns, 60 * S);
	assert_int_equal(pool->sharing, SHARING_WHEN_FULL);
	assert_false(pool->quarantine_all);
	assert_int_equal(pool->algorithm, ALGORITHM_RANDOM);
	assert_false(pool->udp_shares);
	assert_true(pool->early_reuse);
	assert_int_equal(pool->exhausted, EXHAUSTED_KERNEL);
	assert_int_equal(pool->quota, 0);
	assert_int_equal(policy->rule_count, 0);
	assert_int_equal(policy->guard.foreign_bind, FOREIGN_BIND_REPORT);
	assert_false(policy->guard.adjusts_kernel_range);
	assert_string_equal(policy->ledger_path, "/var/lib/srcport/ledger");
	assert_int_equal(policy->ledger_keep_ns, 30 * 86400 * S);
	assert_int_equal(policy->cmdline, CMDLINE_REDACTED);
	assert_null(policy_find_pool(policy, "other"));
}

static void every_setting_reaches_the_policy(void **state)
{
	const struct policy *policy =
		parse(*state, "# a comment\n"
			      "\n"
			      "[pool web]   ; another\r\n"
			      "ports = 50000-50999,52000 ; inline\n"
			      "except = 50500 50600-50699\n"
			      "\tquarantine=0\n"
			      "quarantine-all = yes\n"
			      "algorithm = double-hash\n"
			      "sharing = never\n"
			      "udp-sharing = yes\n"
			      "early-reuse = no\n"
			      "exhausted = refuse\n"
			      "quota = 200\n"
			      "[guard]\n"
			      "foreign-bind = refuse\n"
			      "kernel-range = adjust\n"
			      "[ledger]\n"
			      "path = /srv/a b;c/ledger\n"
			      "keep = 7d\n"
			      "cmdline = argv0");
	const struct pool *pool = policy_find_pool(policy, "web");
	char buf[128];

	assert_int_equal(policy->pool_count, 2);
	assert_string_equal(ports_of(policy, "web", buf),
			    "50000-50499,50501-50599,50700-50999,52000");
	assert_int_equal(pool->quarantine_ns, 0);
	assert_true(pool->quarantine_all);
	assert_int_equal(pool->algorithm, ALGORITHM_DOUBLE_HASH);
	assert_int_equal(pool->sharing, SHARING_NEVER);
	assert_true(pool->udp_shares);
	assert_false(pool->early_reuse);
	assert_int_equal(pool->exhausted, EXHAUSTED_REFUSE);
	assert_int_equal(pool->quota, 200);
	assert_int_equal(policy->guard.foreign_bind, FOREIGN_BIND_REFUSE);
	assert_true(policy->guard.adjusts_kernel_range);
	assert_string_equal(policy->ledger_path, "/srv/a b;c/ledger");
	assert_int_equal(policy->ledger_keep_ns, 7 * 86400 * S);
	assert_int_equal(policy->cmdline, CMDLINE_ARGV0);
}

static void the_default_pool_may_be_changed_in_place(void **state)
{
	const struct policy *policy = parse(*state, "[pool default]\n"
						    "ports = 50000-50001\n"
						    "except =   ; none\n");
	char buf[128];

	assert_int_equal(policy->pool_count, 1);
	assert_string_equal(ports_of(policy, "default", buf), "50000-50001");
}

static void a_section_without_keys_is_a_pool_with_defaults(void **state)
{
	const struct policy *policy = parse(*state, "[pool a]\n[pool b]");

	assert_int_equal(policy->pool_count, 3);
	assert_non_null(policy_find_pool(policy, "b"));
}

static void a_wrong_line_is_named_with_what_was_expected(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "x", 1, "found \"x\", expected key = value or [section]");
	assert_fault(f, "\n= 5", 2, "expected key = value");
	assert_fault(f, "[pool a", 1, "expected key = value or [section]");
	assert_fault(f, "[pool a] x", 1, "expected key = value or [section]");
	assert_fault(f, "ports = 50000", 1, "before any section");
	assert_fault(f, "[frog]\nx = 1", 1,
		     "found [frog], expected [pool NAME], [rule NAME], [guard] or "
		     "[ledger]");
	assert_fault(f, "[]", 1, "found []");
	assert_fault(f, "[Ledger]", 1, "found [Ledger]");
	assert_fault(f, "[pool a]\nport = 1", 2,
		     "found the key \"port\" in [pool], expected one of ports, except");
	assert_fault(f, "[ledger]\nports = 50000", 2,
		     "expected one of path, keep, cmdline");
	assert_fault(f, "[ledger x]", 1, "expected [ledger]");
	assert_fault(f, "[guard x]", 1, "expected [guard]");
	assert_fault(f, "[guard]\nblock = off", 2,
		     "expected one of foreign-bind, kernel-range");
	assert_fault(f, "[pool a ; b]", 1, "expected key = value or [section]");
	assert_fault(f, "[]] x", 1, "expected key = value or [section]");
	assert_fault(f,
		     "[pool                                                       a]",
		     1, "expected key = value or [section]");
}

static void a_wrong_value_is_named_with_what_was_expected(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "[pool a]\nports = 5-1", 2, "\"5-1\" is below 1024");
	assert_fault(f, "[pool a]\nports =", 2, "empty");
	assert_fault(f, "[pool a]\nexcept = x", 2,
		     "except: ports: \"x\" is not a port");
	assert_fault(f, "[pool a]\nquarantine = 60", 2,
		     "quarantine: found \"60\", expected a time");
	assert_fault(f, "[pool a]\nquarantine = -1s", 2, "expected a time");
	assert_fault(f, "[pool a]\nsharing = yes", 2,
		     "expected never, when-full or always");
	assert_fault(f, "[pool a]\nearly-reuse = true", 2, "expected no or yes");
	assert_fault(f, "[pool a]\nexhausted = Kernel", 2, "expected kernel or refuse");
	assert_fault(f, "[pool a]\nalgorithm = magic", 2,
		     "expected random, random-simple, random-retry, hash, double-hash "
		     "or increments");
	assert_fault(f, "[pool a]\nquarantine-all = 60s", 2, "expected no or yes");
	assert_fault(f, "[pool a]\nudp-sharing = always", 2, "expected no or yes");
	assert_fault(f, "[pool a]\nquota = 0", 2, "none or a number from 1");
	assert_fault(f, "[pool a]\nquota = -1", 2, "none or a number from 1");
	assert_fault(f, "[pool a]\nquota = 1000000000", 2, "none or a number from 1");
	assert_fault(f, "[pool a]\nquota =", 2, "none or a number from 1");
	assert_fault(f, "[guard]\nforeign-bind = eperm", 2,
		     "foreign-bind: found \"eperm\", expected report, refuse or allow");
	assert_fault(f, "[guard]\nkernel-range = yes", 2, "expected leave or adjust");
	assert_fault(f, "[ledger]\npath = here", 2,
		     "expected a path that begins with /");
	assert_fault(f, "[ledger]\nkeep = 0", 2, "expected a time above 0");
	assert_fault(f, "[ledger]\ncmdline = on", 2,
		     "expected redacted, full, argv0 or off");
}

static void what_this_version_lacks_is_refused_and_not_ignored(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "[detect]\n", 1, "[detect] is not in this version");
	assert_fault(f, "[respond]\nblock = off", 1,
		     "[respond] is not in this version");
}

static void what_stands_twice_is_refused_with_the_first_place(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "[pool a]\n\n[pool a]\nports = x", 3,
		     "found [pool a] again, expected it once (it is on line 1)");
	assert_fault(f, "[ledger]\n[ledger]", 2, "(it is on line 1)");
	assert_fault(f, "[guard]\n\n[guard]", 3, "(it is on line 1)");
	assert_fault(f, "[pool a]\nquota = 5\nquota = 6", 3,
		     "found \"quota\" again, expected it once (it is on line 2)");
}

static void a_key_may_stand_once_in_each_pool(void **state)
{
	parse(*state, "[pool a]\nports = 50000\n[pool b]\nports = 50001");
}

static void odd_pool_names_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "[pool]", 1, "found the pool name \"\"");
	assert_fault(f, "[pool a b]", 1, "found the pool name \"a b\"");
	assert_fault(f, "[pool ../x]", 1, "found the pool name");
	assert_fault(f, "[pool -x]", 1, "found the pool name");
	assert_fault(f, "[pool aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]", 1,
		     "1 to 31 letters");
	assert_fault(f, "[pool kernel]", 1, "expected another name");
	parse(f, "[pool aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]");
	parse(f, "[pool A_b-c.9]");
}

static void one_pool_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[2048] = "";

	for (int i = 0; i < POLICY_POOLS_MAX; i++)
		sprintf(text + strlen(text), "[pool p%d]\n", i);
	assert_fault(f, text, 64, "expected at most 64");
}

static void long_lists_go_on_in_further_lines(void **state)
{
	const struct policy *policy =
		parse(*state, "[pool a]\nexcept = 50001\nports = 50000-50005\n"
			      "ports = 60000\nexcept = 50003-50004\n");
	char buf[128];

	assert_string_equal(ports_of(policy, "a", buf), "50000,50002,50005,60000");
}

static void a_psid_is_the_pool_or_narrows_its_ports(void **state)
{
	struct fixture *f = *state;
	const struct policy *policy;
	char buf[128];

	policy = parse(f, "[pool a]\npsid = 6,8,52\n"
			  "[pool b]\npsid = 6,8,52\nports = 1024-4000\n"
			  "[pool c]\nports = 1024-4000\npsid = 6, 8, 0x34\n"
			  "except = 2256-2259\n");
	assert_int_equal(port_set_count(&policy_find_pool(policy, "a")->ports), 63 * 4);
	assert_string_equal(ports_of(policy, "b", buf),
			    "1232-1235,2256-2259,3280-3283");
	assert_string_equal(ports_of(policy, "c", buf), "1232-1235,3280-3283");
	assert_fault(f, "\n[pool a]\nports = 49152-49153\npsid = 6,8,52", 2,
		     "\"ports\" has no port of \"psid\"");
	assert_fault(f, "[pool a]\npsid = 6,8", 2, "expected OFFSET,LENGTH,PSID");
}

static void exceptions_that_leave_no_port_are_refused_at_the_pool(void **state)
{
	assert_fault(*state, "\n[pool a]\nexcept = 1024-65535\n[ledger]\nkeep = 1d", 2,
		     "pool a: \"except\" leaves no port");
}

static void all_faults_are_said_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		policy_parse("[pool a]\nports = 1\nfrog\nsharing = x\n[detect]\n",
			     &f->policy, &f->notes),
		-EINVAL);
	assert_int_equal(f->notes.error_count, 4);
	assert_int_equal(f->notes.notes[0].line, 2);
	assert_int_equal(f->notes.notes[1].line, 3);
	assert_int_equal(f->notes.notes[2].line, 4);
	assert_int_equal(f->notes.notes[3].line, 5);
}

static void faults_past_the_ceiling_are_counted(void **state)
{
	struct fixture *f = *state;
	char text[4001];

	for (int i = 0; i < 4000; i += 2)
		memcpy(text + i, "x\n", 2);
	text[4000] = '\0';
	assert_int_equal(policy_parse(text, &f->policy, &f->notes), -EINVAL);
	assert_int_equal(f->notes.count, 2000);
	assert_int_equal(f->notes.error_count, 2000);
	assert_int_equal(f->notes.notes[POLICY_NOTES_MAX - 1].line, POLICY_NOTES_MAX);
}

static void a_huge_line_and_control_bytes_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[10000];

	memset(text, 'x', sizeof(text));
	text[0] = ';';
	text[sizeof(text) - 1] = '\0';
	assert_fault(f, text, 1, "found a line of 9999 characters");
	assert_fault(f, "[pool a]\n\x1b[31m = 1", 2, "found the byte 0x1b");
	assert_fault(f, "[pool a]\nports = 5\r0000", 2, "found the byte 0x0d");
	assert_fault(f, "[pool a]\n\xff\xfe = 1", 2, "found the key \"??\"");
}

static void a_ledger_path_up_to_the_kernels_limit_is_taken(void **state)
{
	struct fixture *f = *state;
	char text[4200] = "[ledger]\npath = /";
	size_t start = strlen(text) - 1;

	memset(text + start + 1, 'x', 4095);
	text[start + 4095] = '\0';
	assert_int_equal(strlen(parse(f, text)->ledger_path), 4095);
	text[start + 4095] = 'x';
	text[start + 4096] = '\0';
	assert_fault(f, text, 2, "shorter than 4096");
}

/* The note that policy_read() gives for a file of these bytes. */
static int read_bytes(struct fixture *f, const char *bytes, size_t length)
{
	char path[] = "/tmp/srcport-policy-XXXXXX";
	CLEANUP_CLOSE int fd = mkstemp(path);
	int err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	err = policy_read(path, &f->policy, &f->notes);
	unlink(path);
	return err;
}

static void a_file_reads_as_its_text(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "\xef\xbb\xbf[pool a]\nports = 50000\n";

	assert_int_equal(read_bytes(f, text, sizeof(text) - 1), 0);
	assert_non_null(policy_find_pool(&f->policy, "a"));
}

static void a_nul_byte_is_named_with_its_line(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_bytes(f, "[pool a]\n\0garbage", 17), -EINVAL);
	assert_int_equal(f->notes.notes[0].line, 2);
	assert_non_null(strstr(f->notes.notes[0].text, "0x00"));
}

static void a_file_over_a_mebibyte_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t size = 1024 * 1024 + 1;
	CLEANUP_FREE char *bytes = malloc(size);

	assert_non_null(bytes);
	memset(bytes, '\n', size);
	assert_int_equal(read_bytes(f, bytes, size), -EFBIG);
	assert_non_null(strstr(f->notes.notes[0].text, "over 1 MiB"));
	assert_int_equal(read_bytes(f, bytes, size - 1), 0);
}

static void a_file_that_cannot_be_read_is_a_fault_with_its_reason(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(policy_read("/nonexistent/x", &f->policy, &f->notes), -ENOENT);
	assert_int_equal(f->notes.error_count, 1);
	assert_non_null(strstr(f->notes.notes[0].text, "No such file"));
	assert_int_equal(policy_read("/", &f->policy, &f->notes), -EISDIR);
}

/* Random pieces of a policy, and random bytes in them. */
static void fill_random(char *text, size_t size, unsigned int *seed)
{
	static const char *const pieces[] = {
		"[pool ",
		"a",
		"]",
		"\n",
		"ports",
		"=",
		"50000-50001",
		"except",
		"quarantine",
		"60s",
		"[ledger]\n",
		"path=/x",
		";",
		"#",
		"\r",
		"\t",
		"[rule x]\n",
		"[rule y]\npool = a\n",
		"psid = 6,8,",
		"uid = 0\n",
		"destination = ",
		"[guard]\n",
		"::/0",
		"sharing = never\n",
		"\xef\xbb\xbf",
		"keep",
		"!",
		"1",
		"[pool default]\n",
		"ports = 2000\n",
		"cmdline = off\n",
		"[",
		" ",
	};
	int count = rand_r(seed) % 30;

	text[0] = '\0';
	while (count-- > 0) {
		size_t at = (size_t)rand_r(seed) % (sizeof(pieces) / sizeof(pieces[0]));

		if (strlen(text) + strlen(pieces[at]) + 1 < size)
			strcat(text, pieces[at]);
	}
	if (*text && rand_r(seed) % 3 == 0)
		text[(size_t)rand_r(seed) % strlen(text)] =
			(char)(1 + rand_r(seed) % 255);
}

static void no_text_crashes_the_parser(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 20261122;
	int accepted = 0;

	print_message("seed %u\n", seed);
	for (int round = 0; round < 1500; round++) {
		char text[400];
		int err;

		fill_random(text, sizeof(text), &seed);
		err = policy_parse(text, &f->policy, &f->notes);
		assert_int_equal(err<0, f->notes.error_count> 0);
		accepted += err == 0;
	}
	assert_true(accepted > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_policy_has_the_documented_defaults),
		TEST(every_setting_reaches_the_policy),
		TEST(the_default_pool_may_be_changed_in_place),
		TEST(a_section_without_keys_is_a_pool_with_defaults),
		TEST(a_wrong_line_is_named_with_what_was_expected),
		TEST(a_wrong_value_is_named_with_what_was_expected),
		TEST(what_this_version_lacks_is_refused_and_not_ignored),
		TEST(what_stands_twice_is_refused_with_the_first_place),
		TEST(a_key_may_stand_once_in_each_pool),
		TEST(odd_pool_names_are_refused),
		TEST(one_pool_too_many_is_refused),
		TEST(long_lists_go_on_in_further_lines),
		TEST(a_psid_is_the_pool_or_narrows_its_ports),
		TEST(exceptions_that_leave_no_port_are_refused_at_the_pool),
		TEST(all_faults_are_said_at_once),
		TEST(faults_past_the_ceiling_are_counted),
		TEST(a_huge_line_and_control_bytes_are_refused),
		TEST(a_ledger_path_up_to_the_kernels_limit_is_taken),
		TEST(a_file_reads_as_its_text),
		TEST(a_nul_byte_is_named_with_its_line),
		TEST(a_file_over_a_mebibyte_is_refused),
		TEST(a_file_that_cannot_be_read_is_a_fault_with_its_reason),
		TEST(no_text_crashes_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
