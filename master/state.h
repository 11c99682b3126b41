/*
 * What the master makes before it forks: state directory and its lock, control socket,
 * certificates read, privileges dropped. Each function answers 0, or an exit status after
 * having said on standard error what was wrong.
 */
#ifndef MASTER_STATE_H
#define MASTER_STATE_H

#include "base/base.h"
#include "master/options.h"
#include "net/tls.h"
#include "shm/region.h"
#include "worker/worker.h"

/*
 * Makes DIR (0700) if it is missing, refuses one that others could write to, gives root's to the user
 * that we will be, and takes DIR/master.lock: a POSIX lock, which a child does not inherit and which
 * tells our pid to whoever asks. *lock_fd stays open.
 */
int state_open(const struct options *options, int *lock_fd) MUST_CHECK;

/* DIR/control.sock, mode 0600, listening. The lock says that a socket found there is stale. */
int state_control_socket(const char *dir, char *path, size_t path_cap, int *fd) MUST_CHECK;

/* Its path alone: 0, or an exit status when that is too long. */
int state_control_path(const char *dir, char *path, size_t path_cap) MUST_CHECK;

/* The region for DIR: adopted if a crash left one, else made. fresh makes a new one in any case. */
int state_region(const char *dir, bool fresh, char *region_path, size_t cap,
                 struct region **out) MUST_CHECK;

/* With every slot free and everything committed it has nothing that the store lacks. */
bool state_region_empty(const struct region *region);

/* What is wrong with a file; why is static text, or as strerror() has it, or in text. */
struct state_fault {
    const char *file, *why, *hint;
    int status; /* to exit with */
    char text[TLS_ERROR_TEXT];
};
/* Reads the PEM files and holds each certificate against its key. False: *fault says why, and *out is
 * as it was. */
bool state_certificates(const struct options *options, struct worker_certificate *out,
                        struct state_fault *fault) MUST_CHECK;
/* Wipes the keys, and leaves nothing. */
void state_certificates_free(struct worker_certificate *certificates);

/* Becomes the user that --user names, if any, and gives it the memory file of an earlier start. What is
 * in DIR and in the runtime directory is touched as that user from then on. */
int state_drop_root(const struct options *options) MUST_CHECK;

#endif
