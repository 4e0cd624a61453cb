-- title = "Share of each label by month"
-- question = "How does the share of each label go, month by month?"
-- read = """
-- Of the items listed in a month, the share that shows the label, corrected for the model's errors
-- where its validation split allows it (as in the report `share`); `seen` is the share that the
-- model gives the label. A month in which nothing was listed is not there: it is a gap, not a zero.
-- """
-- empty = "No item has a listing date: load a product feed with listed_at."
--
-- [plot]
-- kind = "lines"
-- x = "month"
-- y = "share"
-- series = "label"
-- interval = ["low", "high"]
--
-- [show]
-- percent = ["seen", "share", "low", "high"]
-- detail = ["group"]
--
-- [parameters]
-- min_items = { default = 1, meaning = "leave out months in which fewer items were listed" }

with counted as (
    select
        labels.*,
        months.month,
        coalesce(counts.items, 0) as items,
        months.items as n,
        coalesce(parts, 0) as x,
        effective_items(coalesce(parts, 0), coalesce(squares, 0), months.items) as m
    from chosen_labels as labels
    cross join items_by_month as months
    left join item_labels_by_month as counts
        on counts.label = labels.label and counts."group" = labels."group"
        and counts.month = months.month
    where months.items >= coalesce(getvariable('min_items'), 1)
)

select
    label,
    "group",
    month,
    items,
    n as of_items,
    items / n as seen,
    coalesce(corrected_share(x * m / n, m, tp, fp, fn, tn), items / n) as share,
    coalesce(corrected_low(x * m / n, m, tp, fp, fn, tn), wilson_low(items, n)) as low,
    coalesce(corrected_high(x * m / n, m, tp, fp, fn, tn), wilson_high(items, n)) as high,
    coalesce(can_correct(tp, fp, fn, tn), false) as corrected
from counted
order by position, month;
