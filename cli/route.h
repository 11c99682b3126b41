/*
 * `turnpike route`: what is told of a request's file, and how the explanation is shown.
 */
#ifndef CLI_ROUTE_H
#define CLI_ROUTE_H

#include "base/js.h"
#include "base/jw.h"
#include "cli/cli.h"

/* Reads a request's body and writes what it needs as members of the arguments: never its text.
 * protocol: as the command line has it; NULL: openai. */
enum cli_exit route_request(const char *path, const char *protocol, struct jw *jw);

/* Why no call would go anywhere, as a sentence; NULL where one would. */
const char *route_why_not(struct js_value result);
void show_route(struct js_value result);

#endif
