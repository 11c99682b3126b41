/* application/x-www-form-urlencoded, written. */
#ifndef MANAGE_FORM_H
#define MANAGE_FORM_H

#include "base/base.h"
#include "base/buf.h"

/* All but letters, digits and "-._~" as %XX: good in a form, in a query and in a Basic header. */
void form_value(struct buf *out, struct str value);
/* "name=value", with a "&" before it when out is not empty. */
void form_add(struct buf *out, const char *name, struct str value);

#endif
