-- title = "How new each label's items are"
-- question = "What is new in the catalogue?"
-- read = """
-- Of the items with a label, the share that was listed in the last weeks before the newest listing,
-- with Wilson's 95 % interval, beside the same share of all items. `ratio` is the one over the
-- other. A label that is mostly new has just arrived.
-- """
-- empty = "No item has a listing date: load a product feed with listed_at."
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "share_new"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["share_new", "low", "high", "of_all"]
-- ratio = ["ratio"]
-- detail = ["group"]
--
-- [parameters]
-- weeks = { default = 8, meaning = "how far back is new" }
-- min_items = { default = 10, meaning = "leave out labels on fewer items" }

with before as (
    select max(listed_at) - to_days((7 * coalesce(getvariable('weeks'), 8))::integer) as day
    from items
),

total as (
    select count(*) filter (listed_at > day) / count(listed_at) as share
    from items
    cross join before
),

counted as (
    select "group", label, count(*) as n, count(*) filter (listed_at > day) as k
    from item_labels
    cross join before
    where listed_at is not null
    group by "group", label
    having count(*) >= coalesce(getvariable('min_items'), 10)
)

select
    label,
    "group",
    k as items_new,
    n as items,
    k / n as share_new,
    wilson_low(k, n) as low,
    wilson_high(k, n) as high,
    total.share as of_all,
    k / n / nullif(total.share, 0) as ratio
from counted
cross join total
order by share_new desc, items desc, label, "group";
