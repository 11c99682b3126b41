/*
 * Reads a form (multipart/form-data, RFC 7578) where it lies, part by part.
 *
 * Strict, since the same bytes go on to an upstream, which must find the same fields in them: a
 * body begins with its boundary and ends with the closing one, lines end in CRLF, a part has one
 * content-disposition with one name in quotes, and what only might be a boundary (one behind a bare
 * LF, one that goes on) is refused. Bytes in, ranges out: no copy, no allocation, one walk.
 */
#ifndef PROTO_MULTIPART_H
#define PROTO_MULTIPART_H

#include "base/base.h"

#define MULTIPART_BOUNDARY_LEN_MAX 70
#define MULTIPART_PARTS_MAX 256u       /* in a form */
#define MULTIPART_HEADERS_BYTES_MAX 4096u /* of a part */

struct multipart_part {
    struct str name;  /* as it stands between the quotes */
    struct str value; /* the part's content */
    bool is_file;     /* it has a file's name */
};

struct multipart {
    struct str body;
    size_t at;       /* behind the delimiter that was read last */
    unsigned count;  /* parts given */
    bool ended;
    const char *what; /* of MULTIPART_BAD: what is wrong */
    size_t offset;    /* and where in the body */
    char delimiter[MULTIPART_BOUNDARY_LEN_MAX + 2]; /* "--boundary" */
    size_t delimiter_len;
};

enum multipart_step {
    MULTIPART_PART = 0,
    MULTIPART_END,
    MULTIPART_BAD,
};

/* Is this content type that of a form, whatever its boundary? */
bool multipart_is_form(struct str content_type);
/* False with what and offset 0 when it names no usable boundary. */
bool MUST_CHECK multipart_init(struct multipart *m, struct str content_type, struct str body);
/* The next part. After END and BAD the same again. */
enum multipart_step multipart_next(struct multipart *m, struct multipart_part *part);

#endif
