-- Of the items that a brand listed in a month, the share that shows each label; no row where none does.
with listed as (
    select item_id, brand, date_trunc('month', listed_at)::date as month
    from {{ source('fftag', 'items') }}
    where brand is not null and listed_at is not null
),

totals as (
    select brand, month, count(*) as of_items
    from listed
    group by all
)

select
    listed.brand,
    listed.month,
    shown."group" as label_group,
    shown.label,
    count(*) as items,
    any_value(totals.of_items) as of_items,
    count(*) / any_value(totals.of_items) as share
from listed
join {{ source('fftag', 'item_labels') }} as shown on shown.item_id = listed.item_id
join totals on totals.brand = listed.brand and totals.month = listed.month
group by listed.brand, listed.month, shown."group", shown.label
