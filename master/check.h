/* Reading routes.conf at a start, and `turnpike check`, which does nothing else. */
#ifndef MASTER_CHECK_H
#define MASTER_CHECK_H

#include "base/base.h"
#include "conf/conf.h"

int check_main(int argc, char **argv);
/* To standard error, a line FILE:LINE: message each; warnings among them, or not. */
void check_print_faults(const struct conf_faults *faults, bool warnings);
/* 0, or an exit status when the faults have been printed. Warnings go to the log. */
int check_load_conf(const char *path, struct conf **out) MUST_CHECK;

#endif
