/* Who may read a file with a secret in it. */
#ifndef BASE_MODE_H
#define BASE_MODE_H

#include <sys/stat.h>

#include "base/base.h"

/*
 * Whether a private key's file is open to others. As ssh has it, nobody but its owner may; as databases and web servers
 * have it, the group may of one that is root's, such as Debian's ssl-cert.
 */
bool mode_key_is_open(const struct stat *st);

#endif
