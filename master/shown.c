#include "master/shown.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/jw.h"
#include "base/str.h"
#include "master/master.h"
#include "net/tls.h"

#define NAMES_MAX 12u /* of one; the rest is counted */
#define NAME_LEN_MAX 253u

struct names {
    struct jw *jw;
    unsigned count;
};

static void
write_name(void *arg, struct str text)
{
    struct names *names = arg;

    if (names->count++ < NAMES_MAX)
        jw_str(names->jw, (struct str){text.ptr, MIN(text.len, NAME_LEN_MAX)});
}

static void
write_certificate(struct jw *jw, const char *path, struct str chain_pem)
{
    struct names names = {.jw = jw};
    struct tls_dates dates;

    jw_object(jw);
    jw_key_cstr(jw, "file", path);
    jw_key(jw, "names");
    jw_array(jw);
    (void)!tls_chain_names(chain_pem, write_name, &names); /* it was read before: it is in use */
    jw_array_end(jw);
    jw_key_u64(jw, "more_names", names.count > NAMES_MAX ? names.count - NAMES_MAX : 0);
    if (tls_chain_dates(chain_pem, &dates)) {
        jw_key_time(jw, "not_before", dates.begin_s * 1000000);
        jw_key_time(jw, "not_after", dates.end_s * 1000000);
    }
    jw_object_end(jw);
}

void
shown_certificates(struct master *m)
{
    const struct options *o = m->options;
    struct buf json;
    struct jw jw;

    buf_init(&json, sizeof m->certificates_json - 1);
    jw_init(&jw, &json);
    jw_array(&jw);
    for (unsigned i = 0; i < o->cert_count; i++)
        write_certificate(&jw, o->cert_path[i], m->now.certificates[i].chain_pem);
    jw_array_end(&jw);
    str_copy(json.failed ? STR("[]") : buf_str(&json), m->certificates_json, sizeof m->certificates_json);
    buf_free(&json);
}

int
shown_certificates_fd(const struct master *m)
{
    int fd = memfd_create("certificates", MFD_CLOEXEC);
    size_t len = strlen(m->certificates_json);

    if (fd >= 0 && write(fd, m->certificates_json, len) != (ssize_t)len) {
        close(fd);
        return -1;
    }
    return fd;
}
