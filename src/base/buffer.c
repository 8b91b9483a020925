/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 8192

void buffer_release(struct buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct buffer){0};
}

static int make_room(struct buffer *buffer, size_t more)
{
	size_t length = buffer_length(buffer);
	size_t capacity = buffer->capacity ? buffer->capacity : READ_SIZE;
	char *bytes;

	if (buffer->end + more <= buffer->capacity)
		return 0;
	if (buffer->from) {
		memmove(buffer->bytes, buffer->bytes + buffer->from, length);
		buffer->from = 0;
		buffer->end = length;
	}
	while (length + more > capacity)
		capacity *= 2;
	if (capacity == buffer->capacity)
		return 0;
	bytes = realloc(buffer->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	buffer->bytes = bytes;
	buffer->capacity = capacity;
	return 0;
}

int buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
	int err = make_room(buffer, length);

	if (err < 0)
		return err;
	memcpy(buffer->bytes + buffer->end, bytes, length);
	buffer->end += length;
	return 0;
}

static void took(struct buffer *buffer, size_t length)
{
	buffer->from += length;
	if (buffer->from == buffer->end)
		buffer->from = buffer->end = 0;
}

char *buffer_take_line(struct buffer *buffer)
{
	char *line = buffer->bytes ? buffer->bytes + buffer->from : NULL;
	char *newline = line ? memchr(line, '\n', buffer_length(buffer)) : NULL;

	if (!newline)
		return NULL;
	*newline = '\0';
	took(buffer, newline + 1 - line);
	return line;
}

ssize_t buffer_read(struct buffer *buffer, int fd)
{
	ssize_t length;
	int err = make_room(buffer, READ_SIZE);

	if (err < 0)
		return err;
	length = read(fd, buffer->bytes + buffer->end, READ_SIZE);
	if (length < 0)
		return -errno;
	buffer->end += length;
	return length;
}

ssize_t buffer_send(struct buffer *buffer, int socket_fd)
{
	ssize_t length = send(socket_fd, buffer->bytes + buffer->from,
			      buffer_length(buffer), MSG_NOSIGNAL);

	if (length < 0)
		return -errno;
	took(buffer, length);
	return length;
}
