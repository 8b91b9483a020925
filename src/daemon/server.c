/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "daemon/method.h"
#include "daemon/server_socket.h"

#define CLIENTS_MAX	128
#define CLIENTS_PER_UID 32 /* but root: nobody takes all places */
#define LINE_MAX_BYTES	(64 << 10)
#define ROOM_BYTES	(64 << 10) /* items are made while less waits to be read */
#define OUT_MAX_BYTES	(1 << 20)
#define PATIENCE_NS	(60ULL * 1000000000)

struct client {
	struct server *server;
	struct client *next;
	struct server_peer peer;
	int fd;
	struct buffer in;
	struct buffer out;
	bool has_ended; /* sends no more */
	bool is_broken; /* to be dropped */
	uint64_t progress_ns;

	const struct method *method; /* under way; NULL: none */
	struct request request;
	json_t *line; /* of the request */
};

struct server {
	struct daemon *daemon;
	int fd;
	struct client *first;
	unsigned int count;
};

static const struct method *const methods[] = {
	&method_status, &method_sessions, &method_run,	 &method_reload,
	&method_on,	&method_off,	  &method_pools, &method_why,
};

static void answer(struct client *client, json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	if (!text || buffer_add(&client->out, text, strlen(text)) < 0 ||
	    buffer_add(&client->out, "\n", 1) < 0 ||
	    buffer_length(&client->out) > OUT_MAX_BYTES)
		client->is_broken = true;
	free(text);
	json_decref(object);
}

/* The id of the request under way, as the client gave it; null: it gave none. */
static json_t *request_id(const struct client *client)
{
	json_t *id = json_object_get(client->line, "id");

	return id ? json_incref(id) : json_null();
}

static void answer_error(struct client *client, const char *code, const char *message,
			 const char *where)
{
	answer(client,
	       json_pack("{s:o, s:{s:s, s:s, s:s?}}", "id", request_id(client), "error",
			 "code", code, "message", message, "where", where));
}

int request_item(struct request *request, json_t *item)
{
	struct client *client = request->client;

	answer(client, json_pack("{s:o, s:o}", "id", request_id(client), "item", item));
	return client->is_broken ? -EPIPE : 0;
}

bool request_has_room(const struct request *request)
{
	return !request->client->is_broken &&
	       buffer_length(&request->client->out) < ROOM_BYTES;
}

int request_refuse(struct request *request, int err, const char *code,
		   const char *where)
{
	request->code = code;
	request->where = where;
	return err;
}

int request_text(struct request *request, const char *name, const char **ret)
{
	const json_t *value = json_object_get(request->params, name);

	if (value && !json_is_null(value) && !json_is_string(value)) {
		fault_set(&request->fault, -EINVAL, "%s must be a string", name);
		return request_refuse(request, -EINVAL, "bad-param", name);
	}
	*ret = json_string_value(value);
	return 0;
}

static void answer_done(struct client *client)
{
	json_t *last = json_pack("{s:o, s:b}", "id", request_id(client), "done", true);

	if (last && client->request.done)
		json_object_update(last, client->request.done);
	answer(client, last);
}

static void forget_request(struct client *client)
{
	if (client->method && client->method->end)
		client->method->end(&client->request);
	client->method = NULL;
	json_decref(client->request.done);
	json_decref(client->line);
	client->line = NULL;
	client->request = (struct request){0};
}

/* What begin() or step() returned. */
static void went(struct client *client, int result)
{
	struct request *request = &client->request;

	if (result == METHOD_MORE)
		return;
	if (result < 0)
		answer_error(client, request->code ? request->code : "failed",
			     request->fault.text[0] ? request->fault.text
						    : strerror(-result),
			     request->where);
	else
		answer_done(client);
	forget_request(client);
}

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (name && strcmp(methods[i]->name, name) == 0)
			return methods[i];
	return NULL;
}

static void refuse_line(struct client *client, const char *code, const char *message,
			const char *where)
{
	answer_error(client, code, message, where);
	forget_request(client);
}

static void start_request(struct client *client, const char *text)
{
	json_error_t error;
	const struct method *method;
	json_t *params;
	char where[32];

	client->line = json_loads(text, 0, &error);
	if (!json_is_object(client->line)) {
		snprintf(where, sizeof(where), "column %d",
			 client->line ? 1 : error.column);
		refuse_line(client, "bad-request",
			    client->line ? "not a JSON object" : error.text, where);
		return;
	}
	method =
		find_method(json_string_value(json_object_get(client->line, "method")));
	params = json_object_get(client->line, "params");
	if (!method) {
		refuse_line(client, "no-such-method", "there is no such method",
			    "method");
	} else if (params && !json_is_object(params)) {
		refuse_line(client, "bad-request", "params must be an object",
			    "params");
	} else if (method->is_change && !client->peer.may_change) {
		refuse_line(client, "not-allowed", "only root may do this", "method");
	} else {
		client->method = method;
		client->request = (struct request){
			.daemon = client->server->daemon,
			.client = client,
			.params = params,
			.peer_pid = client->peer.pid,
			.done = json_object(),
		};
		went(client, method->begin(&client->request));
	}
}

static void client_free(struct client *client)
{
	struct server *server = client->server;
	struct client **link = &server->first;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	server->count--;
	forget_request(client);
	loop_remove(server->daemon->loop, client->fd);
	close(client->fd);
	buffer_release(&client->in);
	buffer_release(&client->out);
	free(client);
}

static void take_lines(struct client *client)
{
	char *line;

	while (!client->method && !client->is_broken &&
	       (line = buffer_take_line(&client->in)))
		start_request(client, line);
	if (!client->method && buffer_length(&client->in) > LINE_MAX_BYTES) {
		refuse_line(client, "bad-request", "the line is longer than 64 KiB",
			    NULL);
		client->has_ended = true;
		buffer_release(&client->in);
	}
}

static void receive(struct client *client)
{
	ssize_t length = buffer_read(&client->in, client->fd);

	if (length == 0)
		client->has_ended = true;
	else if (length < 0 && length != -EAGAIN && length != -EINTR)
		client->is_broken = true;
	take_lines(client);
}

static void transmit(struct client *client)
{
	ssize_t length;

	if (!buffer_length(&client->out))
		return;
	length = buffer_send(&client->out, client->fd);
	if (length > 0)
		client->progress_ns = daemon_boot_ns();
	else if (length != -EAGAIN && length != -EINTR)
		client->is_broken = true;
}

/* Wait for what can go on: the next request, or room for the rest of the answer. */
static void wait_for_more(struct client *client)
{
	bool is_sending = client->method || buffer_length(&client->out);
	uint32_t events = is_sending ? EPOLLOUT : 0;

	if (!client->method && !client->has_ended)
		events |= EPOLLIN;
	if (client->is_broken || !events)
		client_free(client);
	else
		loop_change(client->server->daemon->loop, client->fd, events);
}

static void on_client(uint32_t events, void *arg)
{
	struct client *client = arg;

	if (events & EPOLLIN)
		receive(client);
	else if (events & (EPOLLHUP | EPOLLERR))
		client->is_broken = true;
	if (client->method && request_has_room(&client->request)) {
		went(client, client->method->step(&client->request));
		take_lines(client);
	}
	transmit(client);
	wait_for_more(client);
}

static unsigned int count_of_uid(const struct server *server, uid_t uid)
{
	unsigned int count = 0;

	for (const struct client *client = server->first; client; client = client->next)
		count += client->peer.uid == uid;
	return count;
}

/* NULL: it may come in. */
static const char *reason_to_refuse(const struct server *server,
				    const struct server_peer *peer)
{
	if (!peer->may_read)
		return "{\"id\":null,\"error\":{\"code\":\"not-allowed\",\"message\":"
		       "\"only root and members of the group srcport may ask\","
		       "\"where\":null}}\n";
	if (server->count >= CLIENTS_MAX ||
	    (peer->uid != 0 && count_of_uid(server, peer->uid) >= CLIENTS_PER_UID))
		return "{\"id\":null,\"error\":{\"code\":\"busy\",\"message\":"
		       "\"too many connections\",\"where\":null}}\n";
	return NULL;
}

static int add_client(struct server *server, int owned_fd,
		      const struct server_peer *peer)
{
	CLEANUP_CLOSE int fd = owned_fd;
	CLEANUP_FREE struct client *client = calloc(1, sizeof(*client));
	int err;

	if (!client)
		return -ENOMEM;
	client->server = server;
	client->peer = *peer;
	client->fd = fd;
	client->progress_ns = daemon_boot_ns();
	err = loop_add(server->daemon->loop, fd, EPOLLIN, on_client, client);
	if (err < 0)
		return err;
	client->next = server->first;
	server->first = TAKE(client);
	server->count++;
	(void)TAKE_FD(fd);
	return 0;
}

static void on_connection(uint32_t events, void *arg)
{
	struct server *server = arg;
	struct server_peer peer;
	const char *refusal;
	int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (server_socket_peer(fd, &peer) < 0) {
		close(fd);
		return;
	}
	refusal = reason_to_refuse(server, &peer);
	if (refusal) {
		send(fd, refusal, strlen(refusal), MSG_NOSIGNAL);
		close(fd);
		return;
	}
	add_client(server, fd, &peer);
}

int server_open(struct daemon *daemon, struct server **ret, struct fault *fault)
{
	struct server *server = calloc(1, sizeof(*server));
	int err;

	if (!server)
		return fault_set(fault, -ENOMEM, "out of memory");
	server->daemon = daemon;
	server->fd = server_socket_open(daemon->options.socket, fault);
	if (server->fd < 0) {
		err = server->fd;
		free(server);
		return err;
	}
	err = loop_add(daemon->loop, server->fd, EPOLLIN, on_connection, server);
	if (err < 0) {
		server_free(server);
		return fault_set(fault, err, "event loop: %s", strerror(-err));
	}
	*ret = server;
	return 0;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	while (server->first)
		client_free(server->first);
	loop_remove(server->daemon->loop, server->fd);
	/* First the name, so that nobody finds a socket that is about to refuse. */
	unlink(server->daemon->options.socket);
	close(server->fd);
	free(server);
}

void server_tick(struct server *server)
{
	uint64_t now_ns = daemon_boot_ns();
	struct client *next;

	for (struct client *client = server->first; client; client = next) {
		next = client->next;
		if (!buffer_length(&client->out))
			client->progress_ns = now_ns;
		else if (now_ns - client->progress_ns > PATIENCE_NS)
			client_free(client);
	}
}

unsigned int server_client_count(const struct server *server)
{
	return server->count;
}
