/// A view of f32 values as a matrix, row-major or transposed, without copies.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major view of `rows` x `cols` values.
    ///
    /// # Panics
    /// When `data` does not hold exactly `rows * cols` values: a mistake of the caller, not of the user's data.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(cols), "a {rows} x {cols} matrix needs as many values");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transposed view of the same values.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The same view of other values, as many and in the same order.
    ///
    /// # Panics
    /// When there are more or fewer: a mistake of the caller.
    pub fn with_data<'b>(self, data: &'b [f32]) -> Matrix<'b> {
        assert_eq!(data.len(), self.data.len(), "other values for the same view");
        Matrix { data, ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Distance in values between two rows.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Distance in values between two columns.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// The values behind the view, in memory order.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// The value at (row, col).
    #[inline]
    pub fn at(&self, row: usize, col: usize) -> f32 {
        self.data[row * self.row_stride + col * self.col_stride]
    }
}
