/* The languages that people are answered in. */
#ifndef MANAGE_LANG_H
#define MANAGE_LANG_H

#include "base/base.h"

enum lang { LANG_EN = 0, LANG_ZH, LANG_COUNT };
/* "en", "zh-CN" */
extern const char *const lang_name[];

/* Of an Accept-Language header (RFC 9110 §12.5.4): the one it likes best, of equals the first; English when it
 * names neither. */
enum lang lang_of(struct str accept_language);
/* Of a person's setting, as "zh-CN": English for all else. */
enum lang lang_of_name(struct str name);

#endif
