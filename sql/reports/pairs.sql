-- title = "Labels that go together"
-- question = "What goes with what?"
-- read = """
-- Lift is how many times more often two labels meet on one item than they would if they had nothing
-- to do with each other (`expected`); its 95 % interval is normal on the log scale, with the
-- variance by the delta method for a multinomial sample. An interval that holds 1 tells nothing.
-- Parts of garments (collar, sleeve, pocket, ...) are left out: a shirt has a collar.
-- """
-- empty = "No two labels meet on enough items."
--
-- [plot]
-- kind = "bars"
-- names = ["label_a", "label_b"]
-- value = "lift"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["share"]
-- ratio = ["expected", "lift", "low", "high"]
-- detail = ["group_a", "group_b", "items_a", "items_b"]
--
-- [parameters]
-- min_items = { default = 20, meaning = "leave out pairs on fewer items" }
-- parts = { default = false, meaning = "true takes the parts of garments in" }

with total as (select count(*) as n from items),

-- Who has a label is a row of bits, one per item: two labels meet where both bits are set.
blocks as materialized (
    select
        item_labels."group",
        item_labels.label,
        item_id // 65536 as block,
        bitstring_agg((item_id % 65536)::integer, 0, 65535) as bits
    from item_labels
    join chosen_labels as labels
        on labels.label = item_labels.label and labels."group" = item_labels."group"
    where coalesce(getvariable('parts'), false)
        or labels."group" not in ('garment parts', 'closures', 'decorations')
    group by all
),

singles as (
    select "group", label, sum(bit_count(bits))::bigint as items
    from blocks
    group by "group", label
),

pairs as (
    select
        a.label as label_a,
        b.label as label_b,
        a."group" as group_a,
        b."group" as group_b,
        sum(bit_count(a.bits & b.bits))::bigint as items
    from blocks as a
    join blocks as b
        on b.block = a.block
        and (b.label > a.label or b.label = a.label and b."group" > a."group")
    group by all
    having sum(bit_count(a.bits & b.bits)) >= coalesce(getvariable('min_items'), 20)
),

lifted as (
    select
        pairs.*,
        a.items as items_a,
        b.items as items_b,
        n,
        pairs.items * n / (a.items * b.items) as lift
    from pairs
    cross join total
    join singles as a on a.label = pairs.label_a and a."group" = pairs.group_a
    join singles as b on b.label = pairs.label_b and b."group" = pairs.group_b
),

-- log lift = log p_ab - log p_a - log p_b, each a share of the same n items.
spread as (
    select
        *,
        sqrt(greatest(0, 1 / items - 1 / items_a - 1 / items_b + (2 * lift - 1) / n)) as error
    from lifted
)

select
    label_a,
    label_b,
    group_a,
    group_b,
    items,
    items_a,
    items_b,
    n as of_items,
    items / n as share,
    items_a * items_b / n as expected,
    lift,
    lift * exp(-1.959963984540054 * error) as low,
    lift * exp(1.959963984540054 * error) as high
from spread
order by lift desc, items desc, label_a, label_b, group_a, group_b;
