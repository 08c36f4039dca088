/* SPDX-License-Identifier: Apache-2.0 */
/* limit.h - when a case is taken to hang. */
#ifndef RILL_TESTS_LIMIT_H
#define RILL_TESTS_LIMIT_H

/* Many times what the longest case takes where others want the processors as well: what shows how
 * long something takes has a limit of its own. CK_TIMEOUT_MULTIPLIER is for slow machines. */
enum { CASE_LIMIT_S = 300 };

#endif
