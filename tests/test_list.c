/* SPDX-License-Identifier: Apache-2.0 */
/* test_list.c - links keep their order and know whether they are on a list. */
#include "runtime/list.h"
#include "tests/rig.h"

#include <string.h>

struct letter {
    char name;
    struct rill_link queue; /* list, or other */
};

static struct rill_link list, other;
static struct letter letters[5];

/* The empty list, and the letters a to e on none. */
static void begin(void)
{
    rill_list_init(&list);
    rill_list_init(&other);
    memset(letters, 0, sizeof letters);
    for (size_t i = 0; i < RIG_COUNT(letters); i++)
        letters[i].name = (char)('a' + i);
}

static void append_all(void)
{
    for (size_t i = 0; i < RIG_COUNT(letters); i++)
        rill_list_append(&list, &letters[i].queue);
}

/* Reads a list forwards and checks that it is the same backwards. */
static const char *read_list(const struct rill_link *from)
{
    static char names[RIG_COUNT(letters) + 1];
    size_t count = 0, back;

    for (struct rill_link *link = from->next; link != from; link = link->next)
        names[count++] = rill_container_of(link, struct letter, queue)->name;
    names[count] = '\0';
    back = count;
    for (struct rill_link *link = from->prev; link != from; link = link->prev)
        ck_assert_int_eq(rill_container_of(link, struct letter, queue)->name, names[--back]);
    ck_assert_uint_eq(back, 0);
    return names;
}

START_TEST(a_zeroed_link_is_on_no_list_and_a_fresh_list_is_empty)
{
    begin();
    ck_assert(!rill_link_is_linked(&letters[0].queue));
    ck_assert(rill_list_is_empty(&list));
    ck_assert_str_eq(read_list(&list), "");
}
END_TEST

START_TEST(appended_links_stay_in_order_and_are_popped_in_it)
{
    begin();
    append_all();
    ck_assert_str_eq(read_list(&list), "abcde");
    for (size_t i = 0; i < RIG_COUNT(letters); i++) {
        ck_assert(rill_link_is_linked(&letters[i].queue));
        ck_assert_ptr_eq(rill_list_pop(&list), &letters[i].queue);
        ck_assert(!rill_link_is_linked(&letters[i].queue));
    }
    ck_assert(rill_list_is_empty(&list));
}
END_TEST

START_TEST(any_link_can_be_removed)
{
    begin();
    append_all();
    rill_link_remove(&letters[2].queue);
    ck_assert_str_eq(read_list(&list), "abde");
    rill_link_remove(&letters[0].queue);
    ck_assert_str_eq(read_list(&list), "bde");
    rill_link_remove(&letters[4].queue);
    ck_assert_str_eq(read_list(&list), "bd");
    ck_assert(!rill_link_is_linked(&letters[4].queue));
    rill_link_remove(&letters[1].queue);
    rill_link_remove(&letters[3].queue);
    ck_assert(rill_list_is_empty(&list));
}
END_TEST

START_TEST(a_removed_link_can_be_appended_to_another_list)
{
    begin();
    append_all();
    rill_link_remove(&letters[1].queue);
    rill_list_append(&other, &letters[1].queue);
    rill_list_append(&other, rill_list_pop(&list));
    ck_assert_str_eq(read_list(&list), "cde");
    ck_assert_str_eq(read_list(&other), "ba");
}
END_TEST

START_TEST(taking_a_list_moves_all_its_links_and_leaves_it_empty)
{
    begin();
    append_all();
    rill_list_take(&other, &list);
    ck_assert(rill_list_is_empty(&list));
    ck_assert_str_eq(read_list(&other), "abcde");
    rill_link_remove(&letters[0].queue);
    rill_list_append(&list, &letters[0].queue);
    ck_assert_str_eq(read_list(&other), "bcde");
    ck_assert_str_eq(read_list(&list), "a");
}
END_TEST

START_TEST(taking_a_list_of_one_or_none_works_as_well)
{
    begin();
    rill_list_take(&other, &list);
    ck_assert(rill_list_is_empty(&other));
    ck_assert(rill_list_is_empty(&list));
    rill_list_append(&list, &letters[3].queue);
    rill_list_take(&other, &list);
    ck_assert_str_eq(read_list(&other), "d");
    ck_assert(rill_list_is_empty(&list));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_zeroed_link_is_on_no_list_and_a_fresh_list_is_empty,
        appended_links_stay_in_order_and_are_popped_in_it,
        any_link_can_be_removed,
        a_removed_link_can_be_appended_to_another_list,
        taking_a_list_moves_all_its_links_and_leaves_it_empty,
        taking_a_list_of_one_or_none_works_as_well,
    };

    return rig_main("list", tests, RIG_COUNT(tests));
}
