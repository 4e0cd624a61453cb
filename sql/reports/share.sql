-- title = "Share of each label"
-- question = "What is in the catalogue?"
-- read = """
-- `seen` is the share of all items (products, or photos without a feed) that the model gives the
-- label. `share` is corrected for the model's errors on its validation split (Rogan and Gladen
-- 1978), with the 95 % interval of Lang and Reiczigel 2014; a product counts by the part of its
-- photos that show the label. Where the validation split does not allow it (`corrected` is false),
-- `share` is what is seen, with Wilson's interval.
-- """
-- empty = "No photo was tagged, or none belongs to a product of the feed."
--
-- [plot]
-- kind = "bars"
-- names = ["label"]
-- value = "share"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["seen", "share", "low", "high"]
--
-- [parameters]
-- min_items = { default = 1, meaning = "leave out labels on fewer items" }

with total as (select count(*) as n from items),

counted as (
    select
        labels.*,
        coalesce(totals.items, 0) as items,
        total.n,
        coalesce(parts, 0) as x,
        effective_items(coalesce(parts, 0), coalesce(squares, 0), total.n) as m
    from chosen_labels as labels
    cross join total
    left join label_totals as totals
        on totals.label = labels.label and totals."group" = labels."group"
)

select
    label,
    "group",
    items,
    n as of_items,
    items / n as seen,
    coalesce(corrected_share(x * m / n, m, tp, fp, fn, tn), items / n) as share,
    coalesce(corrected_low(x * m / n, m, tp, fp, fn, tn), wilson_low(items, n)) as low,
    coalesce(corrected_high(x * m / n, m, tp, fp, fn, tn), wilson_high(items, n)) as high,
    coalesce(can_correct(tp, fp, fn, tn), false) as corrected
from counted
where n > 0 and items >= coalesce(getvariable('min_items'), 1)
order by share desc, items desc, position;
