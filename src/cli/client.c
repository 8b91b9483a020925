/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/cleanup.h"

struct client {
	int fd;
	struct buffer in;
};

DEFINE_CLEANUP(json_t, json_decref)

static const char *remedy_of_connect(int error)
{
	switch (error) {
	case EACCES:
		return "permission denied: be root or a member of the group srcport";
	case ENOENT:
	case ECONNREFUSED:
		return "no srcportd is running there";
	default:
		return strerror(error);
	}
}

int client_open(const char *path, struct client **ret, struct fault *fault)
{
	CLEANUP_CLOSE int fd = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct client *client;

	if (strlen(path) >= sizeof(address.sun_path))
		return fault_set(fault, -ENAMETOOLONG, "%s: too long for a socket",
				 path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_set(fault, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fault_set(fault, -errno, "%s: %s", path,
				 remedy_of_connect(errno));
	client = calloc(1, sizeof(*client));
	if (!client)
		return fault_set(fault, -ENOMEM, "out of memory");
	client->fd = TAKE_FD(fd);
	*ret = client;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	buffer_release(&client->in);
	free(client);
}

static int send_request(struct client *client, const char *method, json_t *params,
			struct fault *fault)
{
	CLEANUP(json_decref_ptr)
	json_t *request = json_pack("{s:i, s:s, s:o}", "id", 1, "method", method,
				    "params", params);
	CLEANUP_FREE char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	CLEANUP(buffer_release) struct buffer out = {0};
	ssize_t sent = 0;

	if (!text || buffer_add(&out, text, strlen(text)) < 0 ||
	    buffer_add(&out, "\n", 1) < 0)
		return fault_set(fault, -ENOMEM, "out of memory");
	while (buffer_length(&out) && (sent >= 0 || sent == -EINTR))
		sent = buffer_send(&out, client->fd);
	/* A daemon that refused has said why before it hung up: that is read next. */
	return sent < 0 && sent != -EPIPE && sent != -ECONNRESET
		       ? fault_set(fault, sent, "srcportd: %s", strerror(-sent))
		       : 0;
}

static int read_line(struct client *client, char **ret, struct fault *fault)
{
	ssize_t length;
	char *line;

	while (!(line = buffer_take_line(&client->in))) {
		length = buffer_read(&client->in, client->fd);
		if (length == -EINTR)
			continue;
		if (length == 0 || length == -ECONNRESET)
			return fault_set(fault, -ECONNRESET,
					 "srcportd ended before it answered");
		if (length < 0)
			return fault_set(fault, length, "srcportd: %s",
					 strerror(-length));
	}
	*ret = line;
	return 0;
}

static int refusal(const json_t *error, struct fault *fault)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *where = json_string_value(json_object_get(error, "where"));

	return fault_set(fault, -EREMOTEIO, "%s%s%s", where ? where : "",
			 where ? ": " : "", message ? message : "srcportd refused");
}

int client_ask(struct client *client, const char *method, json_t *params,
	       client_item_fn *item, void *arg, json_t **ret_done, struct fault *fault)
{
	int err = send_request(client, method, params, fault);
	char *text = NULL;

	while (err == 0 && (err = read_line(client, &text, fault)) == 0) {
		CLEANUP(json_decref_ptr) json_t *line = json_loads(text, 0, NULL);
		json_t *one = json_object_get(line, "item");

		if (!line)
			return fault_set(fault, -EPROTO, "srcportd answered no JSON");
		if (json_object_get(line, "error"))
			return refusal(json_object_get(line, "error"), fault);
		if (json_object_get(line, "done")) {
			*ret_done = TAKE(line);
			return 0;
		}
		if (one && item)
			err = item(one, arg);
	}
	return err;
}
