/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "pipeline/reuse.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"

#define POOLS_MAX 256 /* past it the one that was quiet longest is forgotten */
#define SET_BITS  15
#define SETS	  (1 << SET_BITS)
#define WAYS	  4
#define STEP_BITS 3 /* classes of a histogram for each power of two */
#define CLASSES	  ((64 - STEP_BITS + 1) << STEP_BITS)

struct histogram {
	uint64_t count;
	uint64_t minimum;
	uint32_t classes[CLASSES];
};

struct pool_uses {
	char name[SESSION_POOL_MAX];
	uint64_t opened;
	uint64_t last_ns; /* when its last session opened */
	struct histogram distance;
	struct histogram rest;
};

/* When something was used last: a cache that forgets the oldest of four. */
struct last_use {
	uint64_t key; /* 0: empty */
	uint64_t at;
};

struct cache {
	struct last_use sets[SETS][WAYS];
};

struct reuse {
	struct pool_uses *pools[POOLS_MAX];
	struct cache ports;  /* at: sessions that the pool had opened */
	struct cache tuples; /* at: time */
};

int reuse_new(struct reuse **ret)
{
	/* Four MiB, of which the kernel gives only the pages that are used. */
	struct reuse *reuse = calloc(1, sizeof(*reuse));

	if (!reuse)
		return -ENOMEM;
	*ret = reuse;
	return 0;
}

void reuse_free(struct reuse *reuse)
{
	if (!reuse)
		return;
	for (size_t i = 0; i < POOLS_MAX; i++)
		free(reuse->pools[i]);
	free(reuse);
}

static uint64_t port_key(const struct session *session)
{
	const uint64_t numbers[] = {
		session->id.netns,
		(uint64_t)session->protocol << 16 | session->sport,
	};
	uint64_t key = hash_mix(0, session->pool, strlen(session->pool));

	return hash_mix(key, numbers, sizeof(numbers)) | 1;
}

/* The local address of UDP is not known when a session opens. */
static uint64_t tuple_key(const struct session *session)
{
	const uint64_t numbers[] = {
		session->id.netns,
		(uint64_t)session->protocol << 32 | (uint64_t)session->sport << 16 |
			session->dport,
	};
	uint64_t key = hash_mix(0, numbers, sizeof(numbers));

	if (session->protocol == IPPROTO_TCP)
		key = hash_mix(key, &session->src, sizeof(session->src));
	return hash_mix(key, &session->dst, sizeof(session->dst)) | 1;
}

static struct last_use *cache_set(struct cache *cache, uint64_t key)
{
	return cache->sets[key >> (64 - SET_BITS)];
}

/* What was remembered is taken out: the use that follows has an end of its own. */
static bool cache_take(struct cache *cache, uint64_t key, uint64_t *ret_at)
{
	struct last_use *set = cache_set(cache, key);

	for (int way = 0; way < WAYS; way++) {
		if (set[way].key != key)
			continue;
		*ret_at = set[way].at;
		set[way] = (struct last_use){0};
		return true;
	}
	return false;
}

static void cache_put(struct cache *cache, uint64_t key, uint64_t at)
{
	struct last_use *set = cache_set(cache, key);
	struct last_use *oldest = set;

	for (int way = 0; way < WAYS; way++) {
		if (set[way].key == key) {
			oldest = &set[way];
			break;
		}
		if (!set[way].key || set[way].at < oldest->at)
			oldest = &set[way];
	}
	*oldest = (struct last_use){.key = key, .at = at};
}

/* Values below 8 have a class each; above, each power of two has eight. */
static unsigned int class_of(uint64_t value)
{
	unsigned int bits;

	if (value >> STEP_BITS == 0)
		return value;
	bits = 63 - __builtin_clzll(value);
	return ((bits - STEP_BITS + 1) << STEP_BITS) +
	       (value >> (bits - STEP_BITS) & ((1U << STEP_BITS) - 1));
}

static uint64_t class_floor(unsigned int number)
{
	unsigned int power = number >> STEP_BITS;
	uint64_t step = number & ((1U << STEP_BITS) - 1);

	return power ? (step | 1ULL << STEP_BITS) << (power - 1) : step;
}

static void histogram_add(struct histogram *histogram, uint64_t value)
{
	if (!histogram->count || value < histogram->minimum)
		histogram->minimum = value;
	histogram->count++;
	histogram->classes[class_of(value)]++;
}

static struct reuse_figures figures_of(const struct histogram *histogram)
{
	struct reuse_figures figures = {
		.count = histogram->count,
		.minimum = histogram->minimum,
	};
	uint64_t passed = 0;

	for (unsigned int i = 0; i < CLASSES && histogram->count; i++) {
		passed += histogram->classes[i];
		if (2 * passed < histogram->count)
			continue;
		figures.median = class_floor(i);
		break;
	}
	/* The floor of its class may lie below the smallest value in it. */
	if (figures.median < figures.minimum)
		figures.median = figures.minimum;
	return figures;
}

static struct pool_uses *find(const struct reuse *reuse, const char *name)
{
	for (size_t i = 0; i < POOLS_MAX && reuse->pools[i]; i++)
		if (strcmp(reuse->pools[i]->name, name) == 0)
			return reuse->pools[i];
	return NULL;
}

static struct pool_uses *find_or_add(struct reuse *reuse, const char *name)
{
	struct pool_uses *pool = find(reuse, name);
	size_t at = 0;

	if (pool)
		return pool;
	for (size_t i = 0; i < POOLS_MAX; i++) {
		if (!reuse->pools[i]) {
			at = i;
			break;
		}
		if (reuse->pools[i]->last_ns < reuse->pools[at]->last_ns)
			at = i;
	}
	pool = reuse->pools[at] ? reuse->pools[at] : malloc(sizeof(*pool));
	if (!pool)
		return NULL;
	memset(pool, 0, sizeof(*pool));
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	reuse->pools[at] = pool;
	return pool;
}

static void note_open(struct reuse *reuse, struct pool_uses *pool,
		      const struct session *session)
{
	uint64_t at;

	if (cache_take(&reuse->ports, port_key(session), &at) && pool->opened >= at)
		histogram_add(&pool->distance, pool->opened - at);
	if (cache_take(&reuse->tuples, tuple_key(session), &at))
		/* The wall clock may have been set back. */
		histogram_add(&pool->rest,
			      session->start_ns > at ? session->start_ns - at : 0);
	pool->opened++;
	pool->last_ns = session->start_ns;
}

void reuse_note(struct reuse *reuse, const struct session *session)
{
	struct pool_uses *pool;

	if (!session->pool[0] || !session->sport ||
	    session->picked_by != PICKED_BY_SRCPORT)
		return;
	pool = find_or_add(reuse, session->pool);
	if (!pool)
		return;
	if (!session->end_ns) {
		note_open(reuse, pool, session);
		return;
	}
	cache_put(&reuse->ports, port_key(session), pool->opened);
	cache_put(&reuse->tuples, tuple_key(session), session->end_ns);
}

bool reuse_find(const struct reuse *reuse, const char *name, struct reuse_pool *ret)
{
	const struct pool_uses *pool = find(reuse, name);

	if (!pool)
		return false;
	*ret = (struct reuse_pool){
		.opened = pool->opened,
		.distance = figures_of(&pool->distance),
		.rest_ns = figures_of(&pool->rest),
	};
	return true;
}
