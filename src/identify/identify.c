/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "identify/identify.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "identify/identify_cgroup.h"
#include "identify/identify_proc.h"

#define USER_MAX	  4096
#define PASSWD_BYTES	  4096
#define KERNEL_MINOR_BITS 20 /* the kernel's own dev_t: 12 bits major, 20 minor */

/* A program image, shared by the processes that forked while they ran it. */
struct image {
	unsigned int references;
	uint64_t exe_inode;
	uint64_t exe_device;
	char *exe;
	char *cmdline;
};

struct process {
	struct hash_node node; /* by pid */
	TAILQ_ENTRY(process) order;
	uint64_t start_ns;     /* CLOCK_BOOTTIME */
	bool start_is_rounded; /* /proc told, no event yet */
	bool has_exited;
	bool was_asked;	     /* of /proc, in vain or not */
	struct image *image; /* NULL: not known */
	struct owner
		*owner; /* handed out last, for the next session of the same image */
	uint64_t owner_cgroup;
};

TAILQ_HEAD(process_list, process);

struct user {
	struct hash_node node; /* by uid */
	struct user *next;
	char *name; /* NULL: it has none */
};

struct identify {
	enum identify_cmdline cmdline;
	uint32_t process_max;
	struct hash processes;
	struct process_list running; /* as they were met */
	struct process_list exited;  /* as they ended */
	struct cgroup_table *cgroups;
	struct hash users;
	struct user *user_list;
	int64_t wall_offset_ns;
};

DEFINE_CLEANUP(struct identify, identify_free)

static void image_unref(struct image *image)
{
	if (!image || --image->references > 0)
		return;
	free(image->exe);
	free(image->cmdline);
	free(image);
}

static struct image *image_ref(struct image *image)
{
	if (image)
		image->references++;
	return image;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

int identify_new(enum identify_cmdline cmdline, const char *cgroup_root,
		 uint32_t process_max, struct identify **ret)
{
	CLEANUP(identify_free_ptr) struct identify *identify = NULL;
	int err;

	identify = calloc(1, sizeof(*identify));
	if (!identify)
		return -ENOMEM;
	identify->cmdline = cmdline;
	identify->process_max = process_max ? process_max : 1;
	TAILQ_INIT(&identify->running);
	TAILQ_INIT(&identify->exited);
	identify_set_clock(identify, clock_ns(CLOCK_REALTIME),
			   clock_ns(CLOCK_BOOTTIME));
	err = hash_init(&identify->processes);
	if (!err)
		err = hash_init(&identify->users);
	if (!err)
		err = cgroup_table_new(cgroup_root, &identify->cgroups);
	if (err)
		return err;
	*ret = TAKE(identify);
	return 0;
}

static struct process_list *list_of(struct identify *identify,
				    const struct process *process)
{
	return process->has_exited ? &identify->exited : &identify->running;
}

static void process_forget(struct identify *identify, struct process *process)
{
	hash_remove(&identify->processes, &process->node);
	TAILQ_REMOVE(list_of(identify, process), process, order);
	image_unref(process->image);
	owner_unref(process->owner);
	free(process);
}

static void users_forget(struct identify *identify)
{
	struct user *next;

	for (struct user *user = identify->user_list; user; user = next) {
		next = user->next;
		hash_remove(&identify->users, &user->node);
		free(user->name);
		free(user);
	}
	identify->user_list = NULL;
}

void identify_free(struct identify *identify)
{
	if (!identify)
		return;
	while (!TAILQ_EMPTY(&identify->running))
		process_forget(identify, TAILQ_FIRST(&identify->running));
	while (!TAILQ_EMPTY(&identify->exited))
		process_forget(identify, TAILQ_FIRST(&identify->exited));
	users_forget(identify);
	hash_release(&identify->processes);
	hash_release(&identify->users);
	cgroup_table_free(identify->cgroups);
	free(identify);
}

static bool is_rounded(uint64_t start_ns)
{
	return start_ns % PROC_TICK_NS == 0;
}

static bool started_at(const struct process *process, uint64_t start_ns)
{
	if (process->start_ns == start_ns)
		return true;
	return (process->start_is_rounded || is_rounded(start_ns)) &&
	       proc_start_agrees(start_ns, process->start_ns);
}

static struct process *process_find(struct identify *identify, uint32_t pid,
				    uint64_t start_ns)
{
	struct hash_node *node = hash_find(&identify->processes, pid);
	struct process *process;

	for (; node; node = hash_next(node)) {
		process = HASH_OWNER(node, struct process, node);
		if (!started_at(process, start_ns))
			continue;
		if (process->start_is_rounded && !is_rounded(start_ns)) {
			process->start_ns = start_ns;
			process->start_is_rounded = false;
		}
		return process;
	}
	return NULL;
}

static void process_set_exited(struct identify *identify, struct process *process)
{
	if (process->has_exited)
		return;
	TAILQ_REMOVE(&identify->running, process, order);
	process->has_exited = true;
	TAILQ_INSERT_TAIL(&identify->exited, process, order);
}

static struct process *process_add(struct identify *identify, uint32_t pid,
				   uint64_t start_ns)
{
	struct process *process, *oldest;
	struct hash_node *node;

	process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	/* Whoever had the pid before has ended, whether or not an event said so. */
	for (node = hash_find(&identify->processes, pid); node; node = hash_next(node))
		process_set_exited(identify, HASH_OWNER(node, struct process, node));
	if (identify->processes.count >= identify->process_max) {
		oldest = TAILQ_FIRST(&identify->exited);
		process_forget(identify,
			       oldest ? oldest : TAILQ_FIRST(&identify->running));
	}
	process->start_ns = start_ns;
	process->start_is_rounded = is_rounded(start_ns);
	hash_add(&identify->processes, &process->node, pid);
	TAILQ_INSERT_TAIL(&identify->running, process, order);
	return process;
}

static struct process *process_get(struct identify *identify, uint32_t pid,
				   uint64_t start_ns)
{
	struct process *process = process_find(identify, pid, start_ns);

	return process ? process : process_add(identify, pid, start_ns);
}

/* Takes over the reference to image, which may be NULL. */
static void process_set_image(struct process *process, struct image *image)
{
	image_unref(process->image);
	process->image = image;
	owner_unref(process->owner);
	process->owner = NULL;
}

static struct image *image_from_proc(struct identify *identify,
				     const struct proc_process *told)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->references = 1;
	image->exe = told->exe ? strdup(told->exe) : NULL;
	image->exe_inode = told->exe_inode;
	image->exe_device = told->exe_device;
	image->cmdline = identify_cmdline_format(identify->cmdline, told->cmdline,
						 told->cmdline_length);
	return image;
}

static void list_process(uint32_t pid, const struct proc_process *told, void *arg)
{
	struct identify *identify = arg;
	struct process *process;

	if (process_find(identify, pid, told->pid_start_ns))
		return;
	process = process_add(identify, pid, told->pid_start_ns);
	if (!process)
		return;
	process_set_image(process, image_from_proc(identify, told));
	process->was_asked = true;
}

int identify_list(struct identify *identify)
{
	return proc_visit(list_process, identify);
}

/* Ask /proc once for what no event told. */
static void process_ask(struct identify *identify, struct process *process)
{
	CLEANUP(proc_release) struct proc_process told = {};

	if (process->image || process->was_asked)
		return;
	process->was_asked = true;
	if (proc_read(process->node.key, &told))
		return;
	if (!proc_start_agrees(process->start_ns, told.pid_start_ns))
		return; /* the pid is another's by now */
	process_set_image(process, image_from_proc(identify, &told));
}

static void on_fork(struct identify *identify, const struct event_fork *event)
{
	struct process *parent =
		process_get(identify, event->parent_pid, event->parent_start_ns);
	struct image *image = NULL;
	struct process *child;

	if (parent) {
		process_ask(identify, parent);
		image = image_ref(parent->image);
	}
	child = process_get(identify, event->child_pid, event->child_start_ns);
	if (child && !child->image)
		process_set_image(child, TAKE(image));
	image_unref(image);
}

static void on_exec(struct identify *identify, const struct event_exec *event)
{
	struct process *process =
		process_get(identify, event->pid, event->pid_start_ns);
	struct image *image = calloc(1, sizeof(*image));

	if (!process || !image) {
		free(image);
		return;
	}
	image->references = 1;
	if (event->exe_from < EVENT_EXE_MAX)
		image->exe = strndup((const char *)event->exe + event->exe_from,
				     EVENT_EXE_MAX - event->exe_from);
	image->exe_inode = event->exe_inode;
	image->exe_device =
		makedev(event->exe_device >> KERNEL_MINOR_BITS,
			event->exe_device & ((1U << KERNEL_MINOR_BITS) - 1));
	if (event->cmdline_length <= EVENT_CMDLINE_MAX)
		image->cmdline = identify_cmdline_format(identify->cmdline,
							 (const char *)event->cmdline,
							 event->cmdline_length);
	process_set_image(process, image);
	/* A short-lived cgroup has its name only now. */
	cgroup_table_path(identify->cgroups, event->cgroup, event->head.time_ns);
}

static void on_exit_event(struct identify *identify, const struct event_exit *event)
{
	struct process *process =
		process_find(identify, event->pid, event->pid_start_ns);

	if (process)
		process_set_exited(identify, process);
}

void identify_event(struct identify *identify, const struct event_head *event)
{
	switch (event->kind) {
	case EVENT_FORK:
		on_fork(identify, (const struct event_fork *)event);
		break;
	case EVENT_EXEC:
		on_exec(identify, (const struct event_exec *)event);
		break;
	case EVENT_EXIT:
		on_exit_event(identify, (const struct event_exit *)event);
		break;
	}
}

/* The user's name, kept from the first time it was asked for. NULL: none. */
static const char *user_name(struct identify *identify, uint32_t uid)
{
	struct hash_node *node = hash_find(&identify->users, uid);
	struct passwd entry, *found = NULL;
	char buf[PASSWD_BYTES];
	struct user *user;

	if (node)
		return HASH_OWNER(node, struct user, node)->name;
	if (identify->users.count >= USER_MAX)
		users_forget(identify);
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	if (!getpwuid_r(uid, &entry, buf, sizeof(buf), &found) && found)
		user->name = strdup(entry.pw_name);
	hash_add(&identify->users, &user->node, uid);
	user->next = identify->user_list;
	identify->user_list = user;
	return user->name;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static struct owner *owner_make(struct identify *identify,
				const struct process *process,
				const struct event_open *open)
{
	struct owner *owner;
	const char *path;

	owner = owner_new(open->pid, identify_wall_ns(identify, process->start_ns),
			  open->uid);
	if (!owner)
		return NULL;
	snprintf(owner->comm, sizeof(owner->comm), "%.*s", (int)sizeof(open->comm),
		 (const char *)open->comm);
	if (process->image) {
		owner->exe = copy(process->image->exe);
		owner->exe_inode = process->image->exe_inode;
		owner->exe_device = process->image->exe_device;
		owner->cmdline = copy(process->image->cmdline);
	}
	owner->user = copy(user_name(identify, open->uid));
	path = cgroup_table_path(identify->cgroups, open->cgroup, open->head.time_ns);
	if (path) {
		owner->cgroup = strdup(path);
		owner->unit = cgroup_unit(path);
		owner->container = cgroup_container(path);
	}
	return owner;
}

struct owner *identify_owner(struct identify *identify, const struct event_open *open)
{
	struct process *process = process_get(identify, open->pid, open->pid_start_ns);
	struct owner *owner;

	if (!process)
		return NULL;
	process_ask(identify, process);
	owner = process->owner;
	if (owner && owner->uid == open->uid && process->owner_cgroup == open->cgroup)
		return owner_ref(owner);
	owner = owner_make(identify, process, open);
	if (!owner)
		return NULL;
	owner_unref(process->owner);
	process->owner = owner_ref(owner);
	process->owner_cgroup = open->cgroup;
	return owner;
}

const char *identify_exe(const struct identify *identify, uint32_t pid)
{
	struct hash_node *node = hash_find(&identify->processes, pid);
	const struct process *last = NULL;

	for (; node; node = hash_next(node)) {
		const struct process *process = HASH_OWNER(node, struct process, node);

		if (!last || process->start_ns > last->start_ns)
			last = process;
	}
	return last && last->image ? last->image->exe : NULL;
}

void identify_set_cmdline(struct identify *identify, enum identify_cmdline cmdline)
{
	identify->cmdline = cmdline;
}

uint64_t identify_wall_ns(const struct identify *identify, uint64_t boottime_ns)
{
	return boottime_ns + identify->wall_offset_ns;
}

void identify_set_clock(struct identify *identify, uint64_t wall_ns,
			uint64_t boottime_ns)
{
	identify->wall_offset_ns = wall_ns - boottime_ns;
}
