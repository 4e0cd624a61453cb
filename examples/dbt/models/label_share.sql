-- The share of all items that shows each label, as `seen` in `fftag report share`.
select
    labels.label,
    labels."group" as label_group,
    count(shown.item_id) as items,
    (select count(*) from {{ source('fftag', 'items') }}) as of_items,
    count(shown.item_id) / (select count(*) from {{ source('fftag', 'items') }}) as seen
from {{ source('fftag', 'labels') }} as labels
left join {{ source('fftag', 'item_labels') }} as shown
    on shown.label = labels.label and shown."group" = labels."group"
group by all
