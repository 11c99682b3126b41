/*
 * Listening sockets that the service manager passes (sd_listen_fds(3)): what they are for is in their names,
 * as FileDescriptorName= of a socket unit has it.
 */
#ifndef MASTER_PASSED_H
#define MASTER_PASSED_H

#include "master/options.h"

/*
 * Adds those that are passed to out->listen, after those of the command line; api, or no name of its own, is
 * plain HTTP, tls HTTPS, metrics /metrics. Takes them out of the environment. Returns -1 to go on, else an
 * exit status after having said what is wrong with one. Addresses live as long as the process.
 */
int passed_listeners(struct options *out) MUST_CHECK;

#endif
