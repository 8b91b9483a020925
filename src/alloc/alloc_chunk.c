/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Chunks of port records: made by the block, mapped, and kept in stock for the kernel,
 * which takes one where a pool comes to a new namespace and cannot make any itself.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_private.h"
#include "base/cleanup.h"

#include "alloc/alloc.skel.h"

#define STOCK	     64 /* chunks: a pool of all ports has 63 */
#define BLOCKS	     (ALLOC_CHUNKS / ALLOC_BLOCK)
#define SPARE_BLOCKS 1
#define BLOCK_BYTES  (ALLOC_BLOCK * sizeof(struct record_chunk))

struct port_record *alloc_record(const struct alloc *alloc, const uint32_t *chunk,
				 unsigned int port)
{
	uint32_t number = chunk[port / ALLOC_CHUNK_SIZE];
	struct record_chunk *block;

	if (!number || number >= ALLOC_CHUNKS)
		return NULL;
	block = alloc->blocks[number / ALLOC_BLOCK];
	return block ? &block[number % ALLOC_BLOCK].records[port % ALLOC_CHUNK_SIZE]
		     : NULL;
}

/* The kernel's table and our mapping keep the block; its descriptor is not needed. */
static int block_make(struct alloc *alloc, uint32_t number)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	CLEANUP_CLOSE int fd =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "chunks", sizeof(uint32_t),
			       sizeof(struct record_chunk), ALLOC_BLOCK, &options);
	void *memory;

	if (fd < 0)
		return -errno;
	memory = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	if (bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.chunks), &number, &fd,
				BPF_ANY)) {
		int err = -errno;

		munmap(memory, BLOCK_BYTES);
		return err;
	}
	alloc->blocks[number] = memory;
	for (uint32_t i = 0; i < ALLOC_BLOCK; i++)
		if (number || i) /* chunk 0 means none */
			alloc->chunk_states[number * ALLOC_BLOCK + i] = CHUNK_KEPT;
	return 0;
}

static void block_free(struct alloc *alloc, uint32_t number)
{
	for (uint32_t i = 0; i < ALLOC_BLOCK; i++)
		alloc->chunk_states[number * ALLOC_BLOCK + i] = CHUNK_NONE;
	bpf_map_delete_elem(bpf_map__fd(alloc->bpf->maps.chunks), &number);
	munmap(alloc->blocks[number], BLOCK_BYTES);
	alloc->blocks[number] = NULL;
}

static uint32_t find_kept(const struct alloc *alloc)
{
	for (uint32_t number = 1; number < ALLOC_CHUNKS; number++)
		if (alloc->chunk_states[number] == CHUNK_KEPT)
			return number;
	return 0;
}

/* A chunk that is nobody's; 0: the ceiling, or no memory. */
static uint32_t chunk_take(struct alloc *alloc)
{
	uint32_t number = find_kept(alloc);

	for (uint32_t block = 0; !number && block < BLOCKS; block++)
		if (!alloc->blocks[block])
			return block_make(alloc, block) ? 0 : find_kept(alloc);
	return number;
}

static int count_stock(const struct alloc *alloc)
{
	int stock = 0;

	for (uint32_t number = 1; number < ALLOC_CHUNKS; number++)
		stock += alloc->chunk_states[number] == CHUNK_GIVEN;
	for (uint32_t host = 1; host < ALLOC_HOSTS; host++)
		for (int group = 0; group < ALLOC_GROUPS; group++)
			stock -= alloc->hosts[host].chunk[group] != 0;
	return stock;
}

static bool block_is_kept(const struct alloc *alloc, uint32_t block)
{
	for (uint32_t i = block ? 0 : 1; i < ALLOC_BLOCK; i++)
		if (alloc->chunk_states[block * ALLOC_BLOCK + i] != CHUNK_KEPT)
			return false;
	return alloc->blocks[block];
}

int alloc_stock_chunks(struct alloc *alloc)
{
	int map = bpf_map__fd(alloc->bpf->maps.free_chunks), spare = 0;

	for (int stock = count_stock(alloc); stock < STOCK; stock++) {
		uint32_t number = chunk_take(alloc);

		if (!number)
			return -ENOSPC;
		if (bpf_map_update_elem(map, NULL, &number, BPF_ANY))
			return -errno;
		alloc->chunk_states[number] = CHUNK_GIVEN;
	}
	for (uint32_t block = 0; block < BLOCKS; block++)
		if (block_is_kept(alloc, block) && ++spare > SPARE_BLOCKS)
			block_free(alloc, block);
	return 0;
}

void alloc_keep_chunk(struct alloc *alloc, uint32_t number)
{
	struct record_chunk *block = alloc->blocks[number / ALLOC_BLOCK];

	memset(&block[number % ALLOC_BLOCK], 0, sizeof(*block));
	alloc->chunk_states[number] = CHUNK_KEPT;
}

unsigned int alloc_count_blocks(const struct alloc *alloc)
{
	unsigned int count = 0;

	for (uint32_t block = 0; block < BLOCKS; block++)
		count += alloc->blocks[block] != NULL;
	return count;
}

void alloc_unmap_chunks(struct alloc *alloc)
{
	for (uint32_t block = 0; block < BLOCKS; block++)
		if (alloc->blocks[block])
			munmap(alloc->blocks[block], BLOCK_BYTES);
}
