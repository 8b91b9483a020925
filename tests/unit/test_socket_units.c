/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/socket_units.h"

#define ETC "/etc/systemd/system"
#define RUN "/run/systemd/system"
#define USR "/usr/lib/systemd/system"

/* A tree of unit files of the test's own. */
struct fixture {
	char root[64];
	char ports[512]; /* "8080 9090 ", as visited */
};

static int make_tree(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->root, "/tmp/test_socket_units.XXXXXX");
	*state = f;
	return mkdtemp(f->root) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *stat, int type,
			struct FTW *place)
{
	(void)stat;
	(void)type;
	(void)place;
	return remove(path);
}

static int remove_tree(void **state)
{
	struct fixture *f = *state;

	nftw(f->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void place(const struct fixture *f, const char *folder, const char *name,
		  char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s/%s", f->root, folder, name);
	for (char *at = path + strlen(f->root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
}

static void put(const struct fixture *f, const char *folder, const char *name,
		const char *text)
{
	char path[PATH_MAX];
	FILE *file;

	place(f, folder, name, path);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void mask(const struct fixture *f, const char *folder, const char *name)
{
	char path[PATH_MAX];

	place(f, folder, name, path);
	assert_int_equal(symlink("/dev/null", path), 0);
}

static void note(const char *unit, uint16_t port, void *arg)
{
	struct fixture *f = arg;
	size_t used = strlen(f->ports);

	assert_non_null(strstr(unit, ".socket"));
	snprintf(f->ports + used, sizeof(f->ports) - used, "%u ", port);
}

static void assert_ports(struct fixture *f, const char *ports)
{
	f->ports[0] = '\0';
	assert_true(socket_units_visit(f->root, note, f) >= 0);
	assert_string_equal(f->ports, ports);
}

static void without_folders_there_are_no_ports(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(socket_units_visit(f->root, note, f), 0);
}

static void every_form_of_a_port_is_read_and_nothing_else(void **state)
{
	struct fixture *f = *state;

	put(f, ETC, "a.socket",
	    "[Unit]\nListenStream=1111\n[Socket]\nListenStream=8080\n"
	    "ListenStream = 0.0.0.0:8081 \nListenStream=[::]:8082\n"
	    "ListenDatagram=8083\nListenStream=[fe80::1]:8084%eth0\n"
	    "ListenStream=127.0.0.1:8085\n"
	    "ListenStream=/run/a.sock\nListenStream=@abstract\n"
	    "ListenStream=vsock:2:1234\nListenSequentialPacket=7777\n"
	    "ListenNetlink=audit 1\nListenStream=99999\nListenStream=0\n"
	    "ListenStream=http\nListenStream=80x\n#ListenStream=2222\n"
	    ";ListenStream=3333\nBacklog=4444\n");
	assert_ports(f, "8080 8081 8082 8083 8084 8085 ");
}

static void an_empty_assignment_takes_back_what_came_before(void **state)
{
	struct fixture *f = *state;

	put(f, ETC, "a.socket",
	    "[Socket]\nListenStream=8080\nListenDatagram=8081\nListenStream=\n"
	    "ListenStream=8082\n");
	assert_ports(f, "8082 ");
}

static void the_unit_of_etc_hides_that_of_usr(void **state)
{
	struct fixture *f = *state;

	put(f, USR, "a.socket", "[Socket]\nListenStream=8080\n");
	put(f, RUN, "a.socket", "[Socket]\nListenStream=8081\n");
	assert_ports(f, "8081 ");
	put(f, ETC, "a.socket", "[Socket]\nListenStream=8082\n");
	assert_ports(f, "8082 ");
}

static void a_masked_unit_has_no_ports(void **state)
{
	struct fixture *f = *state;

	put(f, USR, "a.socket", "[Socket]\nListenStream=8080\n");
	put(f, ETC, "a.socket.d/more.conf", "[Socket]\nListenStream=8081\n");
	assert_ports(f, "8080 8081 ");
	mask(f, ETC, "a.socket");
	assert_ports(f, "");
}

static void drop_ins_follow_the_unit_in_the_order_of_their_names(void **state)
{
	struct fixture *f = *state;

	put(f, USR, "a.socket", "[Socket]\nListenStream=8080\n");
	put(f, ETC, "a.socket.d/20-b.conf", "[Socket]\nListenStream=8082\n");
	put(f, USR, "a.socket.d/10-a.conf", "[Socket]\nListenStream=8081\n");
	put(f, USR, "a.socket.d/note.txt", "[Socket]\nListenStream=9999\n");
	assert_ports(f, "8080 8081 8082 ");
	/* The same name further up hides the other; /dev/null hides it for good. */
	put(f, ETC, "a.socket.d/10-a.conf", "[Socket]\nListenStream=\n");
	assert_ports(f, "8082 ");
	mask(f, RUN, "a.socket.d/30-c.conf");
	put(f, USR, "a.socket.d/30-c.conf", "[Socket]\nListenStream=8083\n");
	assert_ports(f, "8082 ");
}

static void an_instance_has_the_drop_ins_of_its_template(void **state)
{
	struct fixture *f = *state;

	put(f, ETC, "a@one.socket", "[Socket]\nListenStream=8080\n");
	put(f, ETC, "a@.socket.d/x.conf", "[Socket]\nListenStream=8081\n");
	assert_ports(f, "8080 8081 ");
}

static void a_line_goes_on_after_a_backslash(void **state)
{
	struct fixture *f = *state;

	put(f, ETC, "a.socket",
	    "[Socket]\nListenStream= \\\n# a comment\n  8080\nListenStream=8081");
	assert_ports(f, "8080 8081 ");
}

static void garbage_is_no_port_and_no_crash(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(20000);
	char path[PATH_MAX];

	assert_non_null(text);
	for (int i = 0; i < 19999; i++)
		text[i] = (char)(i * 7919 % 251 + 1);
	text[19999] = '\0';
	put(f, ETC, "a.socket", text);
	memset(text, '=', 19999);
	memcpy(text, "[Socket]\nListenStream", 21);
	put(f, ETC, "b.socket", text);
	free(text);
	place(f, ETC, "c.socket/x", path);
	mkdir(path, 0755);
	put(f, ETC, "d.socket", "[Socket]\nListenStream=8080\n");
	assert_ports(f, "8080 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)
	const struct CMUnitTest tests[] = {
		TEST(without_folders_there_are_no_ports),
		TEST(every_form_of_a_port_is_read_and_nothing_else),
		TEST(an_empty_assignment_takes_back_what_came_before),
		TEST(the_unit_of_etc_hides_that_of_usr),
		TEST(a_masked_unit_has_no_ports),
		TEST(drop_ins_follow_the_unit_in_the_order_of_their_names),
		TEST(an_instance_has_the_drop_ins_of_its_template),
		TEST(a_line_goes_on_after_a_backslash),
		TEST(garbage_is_no_port_and_no_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
