/* Which turnpike this is. In a source of its own, so that a new number compiles one file. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

extern const char turnpike_version[]; /* "0.1.0" */

#endif
