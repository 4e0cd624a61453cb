-- title: Share of each label by month
-- question: How does the share of each label go, month by month?
-- read: Of the items listed in a month, the share that shows the label, with Wilson's 95 %
--   interval. A month in which nothing was listed is not there: it is a gap, not a zero.
-- parameter: min_items = 1: leave out months in which fewer items were listed
-- show: share low high as percent
-- plot: lines month share label low high
-- empty: No item has a listing date: load a product feed with listed_at.

select
    labels.label,
    months.month,
    coalesce(counted.items, 0) as items,
    months.items as of_items,
    coalesce(counted.items, 0) / months.items as share,
    wilson_low(coalesce(counted.items, 0), months.items) as low,
    wilson_high(coalesce(counted.items, 0), months.items) as high
from labels
cross join items_by_month as months
left join item_labels_by_month as counted
    on counted.label = labels.label and counted.month = months.month
where months.items >= coalesce(getvariable('min_items'), 1)
order by labels.position, months.month;
