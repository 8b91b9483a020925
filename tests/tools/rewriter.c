/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * rewriter - attach tests/bpf/rewriter.bpf.c to a cgroup: connect() to any of the ports
 * FIRST to LAST goes to ADDRESS and PORT instead. Prints "ready", and when standard
 * input ends how many it sent on; then it is gone.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "endpoint.h"
#include "tests/bpf/rewriter.skel.h"

DEFINE_CLEANUP(struct rewriter_bpf, rewriter_bpf__destroy)

static void backend_set(struct rewriter_bpf *bpf, const struct endpoint *backend)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&backend->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&backend->address;
	__u32 words[4] = {0};

	if (v4->sin_family == AF_INET)
		words[3] = v4->sin_addr.s_addr;
	else
		memcpy(words, &v6->sin6_addr, sizeof(words));
	memcpy((void *)bpf->rodata->backend, words, sizeof(words));
	bpf->rodata->backend_port = endpoint_port(backend);
}

/* Only connect()s of the backend's own family are sent on. */
static int attach(struct rewriter_bpf *bpf, const struct endpoint *backend, int cgroup)
{
	const struct bpf_program *program = backend->address.ss_family == AF_INET
						    ? bpf->progs.rewrite4
						    : bpf->progs.rewrite6;

	/* The link ends with this process. */
	return bpf_program__attach_cgroup(program, cgroup) ? 0 : -1;
}

int main(int argc, char **argv)
{
	CLEANUP(rewriter_bpf__destroy_ptr) struct rewriter_bpf *bpf = NULL;
	CLEANUP_CLOSE int cgroup = -1;
	struct endpoint backend;
	char byte;

	if (argc != 6 || endpoint_parse(argv[4], argv[5], &backend) < 0) {
		fputs("usage: rewriter CGROUP FIRST LAST ADDRESS PORT\n", stderr);
		return 2;
	}
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bpf = rewriter_bpf__open();
	if (cgroup < 0 || !bpf) {
		perror("rewriter");
		return 1;
	}
	bpf->rodata->first_port = atoi(argv[2]);
	bpf->rodata->last_port = atoi(argv[3]);
	backend_set(bpf, &backend);
	if (rewriter_bpf__load(bpf) < 0 || attach(bpf, &backend, cgroup) < 0) {
		perror("rewriter");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	printf("rewritten %llu\n", (unsigned long long)bpf->bss->rewritten);
	return 0;
}
