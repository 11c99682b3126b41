/* What is told of calls: the section log. */
#include "conf/build.h"

void
build_log(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_LOG};
    const struct raw_section *section = section_once(load, CONF_S_LOG);

    build_fill(load, section != NULL ? section : &none, &load->conf->log);
}

void
build_metrics(struct load *load)
{
    struct raw_section none = {.kind = CONF_S_METRICS};
    const struct raw_section *section = section_once(load, CONF_S_METRICS);

    build_fill(load, section != NULL ? section : &none, &load->conf->metrics);
}
