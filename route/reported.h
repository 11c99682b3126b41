/*
 * Is the model that an upstream says it answered with the one that was asked of it?
 *
 * The same model is: the name as it was sent, the model's own name or one of its aliases; in any
 * case of letters, with dots or dashes in its numbers, behind a maker's prefix or none
 * ("openai/gpt-4o", "models/gemini-2.5-pro"), and with a version behind it or none, on either side:
 * a date, a number of three digits and more, "latest", "preview", what follows an @ or a colon.
 * Another number of the family ("claude-opus-4-1" for "claude-opus-4"), another size or another
 * kind ("-mini", "-turbo") is another model, and so is another version than the one asked for.
 */
#ifndef ROUTE_REPORTED_H
#define ROUTE_REPORTED_H

#include "base/base.h"
#include "conf/conf.h"

/* Does the reported name mean the model of this name? */
bool reported_is(struct str reported, struct str asked);

/* The same for what was sent to an upstream for a model of routes.conf. */
bool reported_is_model(struct str reported, struct str sent, const struct conf_model *model);

#endif
