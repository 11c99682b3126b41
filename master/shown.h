/* What the master tells the ledger process for `status`. */
#ifndef MASTER_SHOWN_H
#define MASTER_SHOWN_H

struct master;

/* Writes down this generation's certificates: files, names, dates; never keys. */
void shown_certificates(struct master *master);
/* The same as a file in memory, for a ledger process that runs already; -1: there is none. The caller's. */
int shown_certificates_fd(const struct master *master);

#endif
