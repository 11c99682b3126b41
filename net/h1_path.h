/*
 * One spelling for each path, before a route is looked up by it. Percent-encoded unreserved
 * characters (RFC 3986 §2.3) are decoded, once; other escapes stay, with capital hex digits.
 * What servers disagree about is refused instead of mended: escapes that are not two hex
 * digits, encoded or plain backslashes and control bytes, encoded slashes, segments "." and
 * "..". Empty segments ("//") stay as they are and match no route.
 */
#ifndef NET_H1_PATH_H
#define NET_H1_PATH_H

#include "base/base.h"

/*
 * 0, or the status of the refusal: 400, or 414 when out is too small (path.len always fits).
 * *normal is path itself where nothing had to change, else a view of out.
 */
int h1_path_normal(struct str path, char *out, size_t cap, struct str *normal) MUST_CHECK;

#endif
