/*
 * The client's end of the control socket. One JSON object a line each way:
 *
 *     {"cmd":"tenant.add","args":{"name":"acme"}}
 *     {"ok":true,"result":{…}}
 *     {"ok":false,"exit":1,"error":"tenant.add","why":"there is already a tenant acme","hint":"…"}
 *
 * A request is at most 1 MiB long. Blocking, with a deadline.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/base.h"
#include "base/buf.h"

/* A connected descriptor, or a negative errno: -ENOENT and -ECONNREFUSED when no server runs. */
int client_connect(const char *state_dir) MUST_CHECK;
/*
 * Sends one request line (a newline is added) and appends the answer's line without its newline
 * to *answer. 0, -ETIMEDOUT, -EPIPE when the server went away, -EMSGSIZE.
 */
int client_ask(int fd, struct str request, struct buf *answer, unsigned timeout_ms) MUST_CHECK;
/* The same for what may take long: it waits as long as the server lives. passed_fd (-1: none) goes with
 * the request and stays the caller's. */
int client_ask_long(int fd, struct str request, int passed_fd, struct buf *answer) MUST_CHECK;
/* The process that holds state_dir/master.lock: its pid, 0 when nobody does, or a negative errno. */
int client_master_pid(const char *state_dir) MUST_CHECK;

#endif
