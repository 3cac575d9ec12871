"""Read the published predictions of OSV-5M's demonstration into our predictions."""

from __future__ import annotations

from pathlib import Path

from geor1.evaluation.importers import csv_rows, read_position, true_position
from geor1.records import Prediction


def read_osv5m(path: Path | str, *, model: str = "osv5m", suffix: str = "") -> list[Prediction]:
    """One prediction for each row of a ``select.csv``.

    Args:
        path: CSV with ``id``, ``true_lat``, ``true_lon`` and, each with the suffix, ``pred_lat`` and ``pred_lon``;
            maybe ``city``, ``region``, ``country`` (a two-letter code) and their predictions.
        model: Row label.
        suffix: Which of the file's models: "" for the better one, "_base" for the baseline.

    Returns:
        Predictions with task ``geolocation``. Names come from reverse geocoding of the position, on both sides.

    Raises:
        RecordError: A column is missing, or a true coordinate is not usable.
        FileNotFoundError: No such file.

    Source: gastruc/osv5m, the Hugging Face space's ``select.csv``.
    """
    columns = f"pred_lat{suffix}", f"pred_lon{suffix}"
    predictions = []
    for where, row in csv_rows(path, ("id", "true_lat", "true_lon", *columns)):
        true_lat, true_lon = true_position(where, row["true_lat"], row["true_lon"])
        latitude, longitude, status = read_position(*(row[column] for column in columns))
        predictions.append(
            Prediction(
                model=model,
                task="geolocation",
                item_id=row["id"],
                raw="",
                status=status,
                latitude_deg=latitude,
                longitude_deg=longitude,
                city=row.get(f"pred_city{suffix}") or None,
                state=row.get(f"pred_region{suffix}") or None,
                country=row.get(f"pred_country{suffix}") or None,
                true_latitude_deg=true_lat,
                true_longitude_deg=true_lon,
                true_city=row.get("city") or None,
                true_state=row.get("region") or None,
                true_country=row.get("country") or None,
            )
        )
    return predictions
