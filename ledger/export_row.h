/*
 * A call of call.list's answer as a line of CSV or JSON. A row is a record: a call whose hold was extended has one for
 * each of its holds, and the charges of all rows add up to what was charged.
 */
#ifndef LEDGER_EXPORT_ROW_H
#define LEDGER_EXPORT_ROW_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"

enum export_format { EXPORT_CSV = 0, EXPORT_JSONL, EXPORT_FORMAT_COUNT };

/* A field of CSV: quoted where it must be, and no formula to any spreadsheet. */
void export_csv_text(struct buf *out, struct str text);

/* Appends the first line, which CSV has; and a row of call.list's answer. */
void export_head(enum export_format format, struct buf *out);
void export_row(enum export_format format, struct js_value row, struct buf *out);

/* The same of log.list's entries: JSON is the entry as it stands; in CSV what was and what is are JSON in a field. */
void export_log_head(enum export_format format, struct buf *out);
void export_log_row(enum export_format format, struct js_value entry, struct buf *out);

#endif
