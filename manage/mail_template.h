/*
 * What mail says: by a kind's name (ledger/mail.h lists them and their values), in English or Simplified Chinese,
 * as a subject, a text and the same in HTML. Pure.
 *
 * Values come from people: they stand in HTML as text, never as markup, and without the controls that turn the
 * direction of what follows. A link is one only when it begins with https:// or http://. A paragraph that a
 * value is missing for is left out.
 */
#ifndef MANAGE_MAIL_TEMPLATE_H
#define MANAGE_MAIL_TEMPLATE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "conf/conf.h"

struct mail_text {
    struct buf subject, plain, html; /* UTF-8, lines ended by LF; mail_text_free() */
};

/* vars: an object of strings. False: there is no such kind, or memory is short. */
bool mail_template_fill(struct str kind, enum conf_language language, struct js_value vars,
                        struct mail_text *out) MUST_CHECK;
void mail_text_free(struct mail_text *text); /* wiped: there are codes in it */

/* The language of a locale such as "zh-CN", "zh", "en-GB"; of any other, and of "", otherwise. */
enum conf_language mail_language(struct str locale, enum conf_language otherwise);

#endif
